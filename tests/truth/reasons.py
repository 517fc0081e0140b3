"""Checks that the simulator really sent a failure that explains a failing bucket's reason."""

from __future__ import annotations

from tests.truth.readings import SLACK, Case
from tests.truth.recorder import AnswerRecorder

CODES = {
    "bad_request": range(400, 401),
    "unauthorized": range(401, 402),
    "forbidden": range(403, 404),
    "not_found": range(404, 405),
    "rate_limited": range(429, 430),
    "server_error": range(500, 600),
    "unexpected_status": range(300, 308),
    "unsuccessful": range(200, 201),
    "malformed": range(200, 201),
    "too_large": range(200, 201),
    "too_many_nodes": range(200, 201),
}
"""The status codes that cause each reason. Other reasons need no response."""

NOT_HERE = {"tls", "internal"}
"""Reasons that are impossible with a simulator that speaks plain HTTP on the same machine."""


def wrong_reason(case: Case, recorder: AnswerRecorder, since: float) -> str | None:
    """What is wrong with the reason of a failing bucket, or None; `since`: its last success."""
    for reason in case.shown.reasons:
        if reason in NOT_HERE or (reason == "overdue" and case.shown.nodes is not None):
            return f"it fails for {reason}"
        needs_no_call = reason == "unauthorized" and not case.account.has_fixed_token
        codes = CODES.get(reason)
        if codes is None or needs_no_call:
            continue
        keys = [case.bucket, *(["login", "refresh"] if case.account.logs_in else [])]
        if not any(recorder.was_sent(key, codes, since - SLACK) for key in keys):
            return f"it fails for {reason}, and nothing like it was sent since {since:.1f}"
    return None

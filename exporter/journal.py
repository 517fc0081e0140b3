"""What is said of buckets in the log: each change of state once, no repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from exporter.model import Failure

if TYPE_CHECKING:
    from exporter.model import Bucket, BucketState

_log = structlog.get_logger()


def note_transition(bucket: Bucket, before: BucketState, after: BucketState) -> None:
    """Log that a bucket began to fail, fails for another reason, or recovered."""
    was, now = before.failing(fresh=True), after.failing(fresh=True)
    if was == now:
        return
    names = {"bucket_id": bucket.id, "name": bucket.name, "account": bucket.account}
    if isinstance(after.newest, Failure):
        fault = after.newest.fault
        _log.warning("bucket_failing", **names, reason=fault.reason.value, message=fault.message)
    else:
        _log.info("bucket_recovered", **names)

"""Checks pages in order: each must agree with what the simulator sent.

Each other module checks one aspect. They are combined here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.truth.bucket_lists import INFO, BucketLists
from tests.truth.clock import JumpingClock
from tests.truth.counters import Counters
from tests.truth.pages import Page
from tests.truth.plan import Plan
from tests.truth.previous_days import PreviousDays
from tests.truth.punctuality import Punctuality
from tests.truth.readings import Case, Readings
from tests.truth.reasons import wrong_reason
from tests.truth.recorder import AnswerRecorder
from tests.truth.series import NODE_FAMILIES, BucketSeries, bucket_series

EXPIRY = "flashback_account_token_expiry_timestamp_seconds"
RELOADED = "flashback_exporter_config_last_reload_successful"
COUNT = "flashback_exporter_buckets"


class Checker:
    """Checks the pages of one exporter in order.

    `punctual=False`: scrapes are too rare to show each poll, so punctuality is not checked.
    """

    def __init__(
        self, recorder: AnswerRecorder, clock: JumpingClock, plan: Plan, *, punctual: bool = True
    ) -> None:
        self.plan = plan
        self.last_reload_worked = True
        self._recorder = recorder
        self._readings = Readings(recorder, clock)
        self._previous_days = PreviousDays(recorder, clock)
        self._bucket_lists = BucketLists(recorder, clock)
        self._punctuality = Punctuality(recorder, clock)
        self._is_punctual = punctual
        self._counters = Counters(recorder)
        self._identities: dict[str, tuple[str, str]] = {}
        self._page_before = 0.0
        self._counted_right = True

    def replan(self, plan: Plan) -> None:
        """Use the plan of a new configuration."""
        self.plan = plan
        self._bucket_lists.forget()

    def findings(self, page: Page, at: float) -> list[str]:
        """Everything on a page that is wrong."""
        found = list(self._findings(page, at))
        self._page_before = at
        return found

    def _findings(self, page: Page, at: float) -> Iterator[str]:
        yield from self._bucket_lists.findings(page, self.plan, at)
        yield from self._counters.findings(page)
        yield from self._own_findings(page)
        shown = bucket_series(page)
        cases = self._cases(page, shown, at)
        for bucket in shown.keys() - cases.keys():
            yield f"{bucket!r} has samples and no info: {shown[bucket]}"
        for bucket, case in cases.items():
            for finding in self._of_bucket(case):
                yield f"{bucket!r}: {finding}"
        if self._is_punctual:
            yield from self._punctuality.findings(page, cases, at)

    def _own_findings(self, page: Page) -> Iterator[str]:
        """Findings about the exporter's own metrics."""
        for family in page.kinds:
            if family.startswith("flashback_node_") and family not in NODE_FAMILIES:
                yield f"{family} is new: teach the checker what is true of it"
        yield from self._miscounted(page)
        if list(page.of(RELOADED).values()) != [float(self.last_reload_worked)]:
            yield f"the last reload: {page.of(RELOADED)}"
        for account, expiry in page.by(EXPIRY, "account").items():
            if expiry not in self._recorder.expiries:
                yield f"no token of {account!r} was issued that ends at {expiry}"

    def _miscounted(self, page: Page) -> Iterator[str]:
        """A wrong number of buckets on two pages in a row. One page alone may mix two states."""
        counted = list(page.of(COUNT).values())
        is_right = counted == [len(page.of(INFO))]
        if not is_right and not self._counted_right:
            yield f"{counted} buckets are counted, and there are {len(page.of(INFO))} infos"
        self._counted_right = is_right

    def _cases(self, page: Page, shown: Mapping[str, BucketSeries], at: float) -> dict[str, Case]:
        """The known buckets, with their series on the page."""
        cases = {}
        accounts = {account.name: account for account in self.plan.accounts}
        identities = {}
        for series in page.of(INFO):
            bucket, account = series.label("bucket_id"), accounts.get(series.label("account"))
            if account is None:
                continue  # a finding of `bucket_lists`
            identities[bucket] = (account.name, account.host)
            if self._identities.get(bucket) != identities[bucket]:
                self._readings.begin(bucket, self._page_before)
                self._punctuality.begin(bucket, self._page_before)
            cases[bucket] = Case(bucket, shown[bucket], self.plan, account, at)
        self._identities = identities
        return cases

    def _of_bucket(self, case: Case) -> Iterator[str]:
        yield from case.shown.findings(self.plan.known_statuses)
        yield from self._readings.findings(case)
        since = self._readings.succeeded_at(case.bucket)
        reason = wrong_reason(case, self._recorder, since)
        yield from filter(None, (self._previous_days.finding(case), reason))

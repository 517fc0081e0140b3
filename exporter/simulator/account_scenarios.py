"""The scenarios for the calls of an account: login, refresh, and the list of its buckets.

Part of the table in `scenarios`. Each says which calls it hits.
"""

from exporter.simulator import listing_trouble, response_faults
from exporter.simulator.call import CallKind
from exporter.simulator.scenario import Scenario

_LOGIN, _REFRESH, _LIST = (
    frozenset({kind}) for kind in (CallKind.LOGIN, CallKind.REFRESH, CallKind.LIST)
)

ACCOUNT_SCENARIOS = (
    # The tokens
    Scenario(
        "login-refused",
        "401, all bodies, whatever the password",
        calls=_LOGIN,
        answer=response_faults.refused(401),
    ),
    Scenario(
        "login-5xx",
        "500, 502, 503 or 504",
        share=0.3,
        calls=_LOGIN,
        answer=response_faults.server_error,
    ),
    Scenario(
        "login-429",
        "429 with Retry-After in seconds",
        share=0.3,
        calls=_LOGIN,
        answer=response_faults.storm_in_seconds,
    ),
    Scenario(
        "refresh-refused",
        "401, all bodies, whatever the refresh token",
        calls=_REFRESH,
        answer=response_faults.refused(401),
    ),
    Scenario(
        "refresh-5xx",
        "500, 502, 503 or 504",
        share=0.3,
        calls=_REFRESH,
        answer=response_faults.server_error,
    ),
    Scenario(
        "tokens-revoked",
        "the token in use is void for good",
        share=0.05,
        calls=frozenset({CallKind.STATS, CallKind.LIST}),
        revokes=True,
    ),
    # The list
    Scenario(
        "list-5xx",
        "500, 502, 503 or 504",
        share=0.3,
        calls=_LIST,
        answer=response_faults.server_error,
    ),
    Scenario(
        "list-403",
        "403, all bodies",
        share=0.3,
        calls=_LIST,
        answer=response_faults.refused(403),
    ),
    Scenario("list-empty", "no buckets", share=0.3, calls=_LIST, rows=listing_trouble.emptied),
    Scenario(
        "list-malformed",
        "200 with anything but a list of buckets",
        share=0.3,
        calls=_LIST,
        answer=listing_trouble.malformed,
    ),
    Scenario(
        "list-odd-entries",
        "besides the true entries some that are odd, hostile or useless",
        calls=_LIST,
        rows=listing_trouble.with_odd_entries,
    ),
)

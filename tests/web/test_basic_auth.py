"""Basic auth: which requests are admitted, and how many bcrypt checks they cost."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from threading import Event

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.blocking import in_thread
from exporter.web import basic_auth
from exporter.web.basic_auth import BasicAuth, TooManyWaitingError
from tests.harness.fakes import FakeClock, settle

USERS = {"alice": "hash of a", "bob": "hash of b", "zoë": "hash of z"}
HOST = "192.0.2.1"


def header(name: str | bytes, password: str | bytes) -> str:
    """The Authorization header for a name and a password."""
    parts = (part.encode() if isinstance(part, str) else part for part in (name, password))
    return f"Basic {b64encode(b':'.join(parts)).decode()}"


class Checks:
    """Replaces bcrypt: the password `a` matches `hash of a`. Records all checks in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.may_answer = Event()
        self.may_answer.set()

    def __call__(self, password: bytes, against: bytes) -> bool:
        self.asked.append((password, against))
        assert self.may_answer.wait(10)
        return against == b"hash of " + password

    @property
    def total(self) -> int:
        return len(self.asked)

    @property
    def passwords(self) -> list[bytes]:
        return [password for password, _ in self.asked]

    async def begun(self) -> None:
        """Wait until the thread of the first check has started it."""
        while not self.asked:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("authorization", "admitted"),
    [
        (header("alice", "a"), True),
        (header("zoë", "z"), True),
        (header("alice", "a").replace("Basic", "bAsIc"), True),
        (header("alice", "a").replace(" ", "   "), True),
        (header("alice", "b"), False),
        (header("alice", ""), False),
        (header("Alice", "a"), False),
        (header("", "a"), False),
        ("", False),
        ("Basic", False),
        ("Basic !!!", False),
        ("Basic é", False),
        (f"Basic {b64encode(b'no colon').decode()}", False),
        (header("alice", "a").replace("Basic", "Bearer"), False),
        (header("alice", "a").replace(" ", ""), False),
    ],
)
async def test_only_a_name_with_its_password_comes_in(authorization: str, admitted: bool) -> None:  # noqa: FBT001 - expected
    """Only a user with the right password is admitted."""
    assert await BasicAuth(USERS, FakeClock(), Checks()).admits(authorization, HOST) is admitted


@pytest.mark.parametrize("password", ["a", "b", "z"])
async def test_no_password_opens_for_a_stranger(password: str) -> None:
    """An unknown user is refused, even if the password matches the hash that is checked."""
    checks = Checks()
    assert not await BasicAuth(USERS, FakeClock(), checks).admits(header("mallory", password), HOST)
    assert checks.total == 1


async def test_unknown_users_cost_one_check() -> None:
    """An unknown name is always checked against one hash, so that timing reveals no users."""
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    for password in "vwxy":
        await auth.admits(header("mallory", password), HOST)
    assert len({against for _, against in checks.asked}) == 1
    for number in range(100):
        await auth.admits(header(f"mallory{number}", "x"), HOST)
    assert {against.decode() for _, against in checks.asked} == set(USERS.values())


async def test_what_was_checked_is_not_checked_again() -> None:
    """A name and password are checked with bcrypt only once, whether right or wrong."""
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    for _ in range(50):
        assert await auth.admits(header("alice", "a"), HOST)
    assert checks.total == 1
    for _ in range(3):
        assert not await auth.admits(header("alice", "b"), HOST)
        assert not await auth.admits(header("bob", "a"), HOST)
        assert not await auth.admits(header("mallory", "a"), HOST)
    assert checks.total == 4


@pytest.mark.parametrize("hosts", [1, 150])
async def test_what_comes_at_once_is_checked_once(hosts: int) -> None:
    """Concurrent requests with the same credentials share one check, even from many hosts."""
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    answers = await asyncio.gather(
        *(
            auth.admits(header("alice", password), f"192.0.2.{number % hosts}")
            for number in range(150)
            for password in "xa"
        )
    )
    assert answers == [False, True] * 150
    assert sorted(checks.passwords) == [b"a", b"x"]


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently used results are dropped from the cache."""
    monkeypatch.setattr(basic_auth, "REMEMBERED", 2)
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    a, b, z = header("alice", "a"), header("bob", "b"), header("zoë", "z")
    for authorization in (a, b, a, z, a):
        assert await auth.admits(authorization, HOST)
    assert checks.total == 3
    assert await auth.admits(b, HOST)
    assert checks.total == 4


async def test_guesses_push_out_neither_right_ones_nor_a_stale_scrapers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wrong passwords drop the least recently used wrong ones from the cache, never right ones."""
    monkeypatch.setattr(basic_auth, "REMEMBERED", 2)
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    right, stale = header("alice", "a"), header("alice", "stale")
    assert await auth.admits(right, HOST)
    for number in range(20):
        assert not await auth.admits(stale, HOST)
        assert not await auth.admits(header("alice", f"guess {number}"), "198.51.100.1")
    assert await auth.admits(right, HOST)
    assert checks.total == 22
    assert not await auth.admits(header("alice", "guess 0"), HOST)
    assert checks.total == 23


@pytest.mark.parametrize("guesser", ["198.51.100.{}", "198.51.100.1", HOST])
async def test_right_password_is_next_however_many_wrong_ones_wait(guesser: str) -> None:
    """A right password waits only for the running check, whichever hosts send wrong ones.

    A scraper with an old password on its host makes no difference.
    """
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    assert not await auth.admits(header("bob", "stale"), HOST)
    checks.asked.clear()
    checks.may_answer.clear()
    guesses = [
        asyncio.create_task(auth.admits(header("alice", f"guess {n}"), guesser.format(n)))
        for n in range(basic_auth.MAX_WAITING + 20)
    ]
    await checks.begun()
    scrape = asyncio.create_task(auth.admits(header("bob", "b"), HOST))
    await settle()
    checks.may_answer.set()
    assert await scrape
    assert checks.passwords[:2] == [b"guess 0", b"b"]
    refused = await asyncio.gather(*guesses, return_exceptions=True)
    assert not any(answer is True for answer in refused)


async def test_host_that_goes_on_guessing_comes_after_those_that_do_not() -> None:
    """Guesses from a host with many wrong ones do not overtake hosts with only a few."""
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    for number in range(basic_auth.MANY_WRONG):
        assert not await auth.admits(header("alice", f"early guess {number}"), "198.51.100.1")
    for number in range(basic_auth.MANY_WRONG - 1):
        assert not await auth.admits(header("alice", f"stale {number}"), HOST)
    checks.asked.clear()
    checks.may_answer.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(auth.admits(header("alice", "guess 0"), "198.51.100.1"))
        await checks.begun()
        scrape = group.create_task(auth.admits(header("bob", "b"), HOST))
        await settle()
        for number in range(1, 30):
            guess = header("alice", f"guess {number}")
            group.create_task(auth.admits(guess, "198.51.100.1"))
        await settle()
        checks.may_answer.set()
        assert await scrape
    assert checks.passwords[:2] == [b"guess 0", b"b"]
    assert checks.total == 31


async def test_scrape_that_comes_again_is_the_newest() -> None:
    """A repeated request is checked before wrong ones that came after its first try."""
    checks = Checks()
    checks.may_answer.clear()
    auth = BasicAuth(USERS, FakeClock(), checks)
    async with asyncio.TaskGroup() as group:
        for password in ("guess 0", "a", "guess 1", "a"):
            group.create_task(auth.admits(header("alice", password), HOST))
            await checks.begun()
            await settle()
        checks.may_answer.set()
    assert checks.passwords == [b"guess 0", b"a", b"guess 1"]


async def test_a_host_can_have_only_so_many_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a host's limit, its longest waiting check is rejected at once; other hosts' are not."""
    monkeypatch.setattr(basic_auth, "MAX_WAITING", 2)
    checks = Checks()
    checks.may_answer.clear()
    auth = BasicAuth(USERS, FakeClock(), checks)
    async with asyncio.TaskGroup() as group:
        checked = group.create_task(auth.admits(header("alice", "a"), HOST))
        await checks.begun()
        other = group.create_task(auth.admits(header("bob", "x"), "198.51.100.1"))
        waiting = [
            asyncio.create_task(auth.admits(header("alice", password), HOST))
            for password in ("oldest", "oldest", "b", "c", "b")
        ]
        await settle()
        assert [task.done() for task in waiting] == [True, True, False, False, False]
        for task in waiting[:2]:
            with pytest.raises(TooManyWaitingError):
                await task
        checks.may_answer.set()
        assert await checked
        assert not await other
        assert not any([await task for task in waiting[2:]])
    assert not await auth.admits(header("alice", "oldest"), HOST)


async def test_who_goes_away_does_not_start_another_check() -> None:
    """One check runs at a time, even if its client has disconnected."""
    checks = Checks()
    checks.may_answer.clear()
    auth = BasicAuth(USERS, FakeClock(), checks)
    for number in range(5):
        gone = asyncio.create_task(auth.admits(header("alice", f"guess {number}"), HOST))
        await checks.begun()
        await settle()
        await in_thread(lambda: None)
        gone.cancel()
    assert checks.total == 1
    checks.may_answer.set()
    assert await auth.admits(header("alice", "a"), HOST)
    assert await auth.admits(header("bob", "b"), HOST)
    assert checks.passwords == [b"guess 0", b"a", b"b"]


async def test_who_goes_away_leaves_the_others_waiting() -> None:
    """A check is made if at least one request still waits for it."""
    checks = Checks()
    checks.may_answer.clear()
    auth = BasicAuth(USERS, FakeClock(), checks)
    guess = asyncio.create_task(auth.admits(header("alice", "guess"), HOST))
    await checks.begun()
    stays, goes = (asyncio.create_task(auth.admits(header("alice", "a"), HOST)) for _ in range(2))
    await settle()
    goes.cancel()
    await settle()
    checks.may_answer.set()
    assert await stays
    assert not await guess


async def test_check_without_an_end_is_given_up() -> None:
    """A request fails with a timeout if its check does not end."""
    checks, clock = Checks(), FakeClock()
    checks.may_answer.clear()
    waiting = asyncio.create_task(
        BasicAuth(USERS, clock, checks).admits(header("alice", "a"), HOST)
    )
    await clock.advance(basic_auth.CHECK_SECONDS)
    with pytest.raises(TimeoutError):
        await waiting
    checks.may_answer.set()


async def test_check_of_who_went_away_is_not_made_again() -> None:
    """The check of a cancelled request serves concurrent and later ones with its credentials."""
    checks = Checks()
    checks.may_answer.clear()
    auth = BasicAuth(USERS, FakeClock(), checks)
    gone = asyncio.create_task(auth.admits(header("alice", "a"), HOST))
    await checks.begun()
    beside = asyncio.create_task(auth.admits(header("alice", "a"), HOST))
    await settle()
    gone.cancel()
    await settle()
    later = asyncio.create_task(auth.admits(header("alice", "a"), HOST))
    await settle()
    checks.may_answer.set()
    assert await beside
    assert await later
    assert await auth.admits(header("alice", "a"), HOST)
    assert checks.total == 1


async def test_failed_check_is_not_cached() -> None:
    """An exception in a check is raised to its request, not cached, and blocks no other one."""

    def check(password: bytes, against: bytes) -> bool:
        if password == b"bug":
            raise ValueError("Invalid salt")
        return checks(password, against)

    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), check)
    for _ in range(2):
        with pytest.raises(ValueError, match="Invalid salt"):
            await auth.admits(header("alice", "bug"), HOST)
    assert await auth.admits(header("alice", "a"), HOST)


@pytest.mark.parametrize("password", [b"a\0b", b"\xff\xfe", "pässwörd".encode(), b"x" * 100, b":"])
async def test_every_password_is_one_to_bcrypt(password: bytes) -> None:
    """Passwords may have any bytes and length; only the first 72 bytes count, as in Go."""
    made = bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).decode()
    auth = BasicAuth({"alice": made}, FakeClock())
    assert await auth.admits(header("alice", password), HOST)
    assert not await auth.admits(header("alice", password[:-1][:70]), HOST)


@given(st.one_of(st.text(), st.text().map(lambda text: f"Basic {text}")))
def test_any_header_is_survived(authorization: str) -> None:
    """No random Authorization header raises an exception or is admitted."""
    assert not asyncio.run(BasicAuth(USERS, FakeClock(), Checks()).admits(authorization, HOST))

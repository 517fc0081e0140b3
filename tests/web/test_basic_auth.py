"""Names and passwords."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
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
    """As a client sends it."""
    parts = (part.encode() if isinstance(part, str) else part for part in (name, password))
    return f"Basic {b64encode(b':'.join(parts)).decode()}"


class Checks:
    """In bcrypt's place: `a` fits the hash of a. Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[bytes, bytes]] = Counter()
        self.may_answer = Event()
        self.may_answer.set()

    def __call__(self, password: bytes, against: bytes) -> bool:
        self.asked[password, against] += 1
        assert self.may_answer.wait(10)
        return against == b"hash of " + password

    @property
    def total(self) -> int:
        return self.asked.total()


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
    """Anything but a user with the right password is turned away."""
    assert await BasicAuth(USERS, FakeClock(), Checks()).admits(authorization, HOST) is admitted


@pytest.mark.parametrize("password", ["a", "b", "z"])
async def test_no_password_opens_for_a_stranger(password: str) -> None:
    """A name that is nobody's is refused, though its password is checked against a user's hash."""
    checks = Checks()
    assert not await BasicAuth(USERS, FakeClock(), checks).admits(header("mallory", password), HOST)
    assert checks.total == 1


async def test_strangers_cost_as_much_as_users() -> None:
    """One name is always checked against one and the same hash: its time says nothing of it."""
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    for password in "vwxy":
        await auth.admits(header("mallory", password), HOST)
    assert len({against for _, against in checks.asked}) == 1
    for number in range(100):
        await auth.admits(header(f"mallory{number}", "x"), HOST)
    assert {against.decode() for _, against in checks.asked} == set(USERS.values())


async def test_what_was_right_is_not_checked_again() -> None:
    """A scrape costs no bcrypt once its password is known; a wrong one costs one each time."""
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    for _ in range(50):
        assert await auth.admits(header("alice", "a"), HOST)
    assert checks.total == 1
    for _ in range(3):
        assert not await auth.admits(header("alice", "b"), HOST)
        assert not await auth.admits(header("bob", "a"), HOST)
    assert checks.total == 7


async def test_what_comes_at_once_is_checked_once() -> None:
    """Scrapes that arrive together wait for the one check of their password."""
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    answers = await asyncio.gather(*(auth.admits(header("alice", "a"), HOST) for _ in range(40)))
    assert all(answers)
    assert checks.total == 1


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The combinations used longest ago are forgotten."""
    monkeypatch.setattr(basic_auth, "REMEMBERED", 2)
    checks = Checks()
    auth = BasicAuth(USERS, FakeClock(), checks)
    a, b, z = header("alice", "a"), header("bob", "b"), header("zoë", "z")
    for authorization in (a, b, a, z, a):
        assert await auth.admits(authorization, HOST)
    assert checks.total == 3
    assert await auth.admits(b, HOST)
    assert checks.total == 4


async def test_one_hosts_guesses_do_not_hold_the_others_up() -> None:
    """While a host waits for many checks, another's is the next but one."""
    checks = Checks()
    checks.may_answer.clear()
    auth = BasicAuth(USERS, FakeClock(), checks)
    async with asyncio.TaskGroup() as group:
        guesses = [
            group.create_task(auth.admits(header("alice", f"guess {number}"), "198.51.100.1"))
            for number in range(50)
        ]
        while not checks.total:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)  # until the thread has begun
        scrape = group.create_task(auth.admits(header("bob", "b"), HOST))
        await asyncio.sleep(0)
        checks.may_answer.set()
        assert await scrape
        assert checks.total <= 3
        assert not any([await guess for guess in guesses])


async def test_a_host_can_have_only_so_many_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the limit a host is turned away at once; others are not, nor is it later on."""
    monkeypatch.setattr(basic_auth, "MAX_WAITING", 2)
    checks = Checks()
    checks.may_answer.clear()
    auth = BasicAuth(USERS, FakeClock(), checks)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(auth.admits(header("alice", "a"), HOST)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyWaitingError):
            await auth.admits(header("alice", "b"), HOST)
        other = group.create_task(auth.admits(header("bob", "b"), "198.51.100.1"))
        checks.may_answer.set()
        assert await other
        assert all([await task for task in waiting])
    assert not await auth.admits(header("alice", "b"), HOST)


async def test_who_goes_away_does_not_start_another_check() -> None:
    """One check runs at a time, also where its client does not wait for it."""
    checks = Checks()
    checks.may_answer.clear()
    auth = BasicAuth(USERS, FakeClock(), checks)
    for number in range(5):
        gone = asyncio.create_task(auth.admits(header("alice", f"guess {number}"), HOST))
        while not checks.total:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)
        await settle()
        await in_thread(lambda: None)
        gone.cancel()
    assert checks.total == 1
    checks.may_answer.set()
    assert await auth.admits(header("alice", "a"), HOST)


async def test_check_without_an_end_is_given_up() -> None:
    """No request waits for ever."""
    checks, clock = Checks(), FakeClock()
    checks.may_answer.clear()
    waiting = asyncio.create_task(
        BasicAuth(USERS, clock, checks).admits(header("alice", "a"), HOST)
    )
    await clock.advance(basic_auth.CHECK_SECONDS)
    with pytest.raises(TimeoutError):
        await waiting
    checks.may_answer.set()


@pytest.mark.parametrize("password", [b"a\0b", b"\xff\xfe", "pässwörd".encode(), b"x" * 100, b":"])
async def test_every_password_is_one_to_bcrypt(password: bytes) -> None:
    """Odd bytes and great length do; of a long password 72 bytes count, as in Go."""
    made = bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).decode()
    auth = BasicAuth({"alice": made}, FakeClock())
    assert await auth.admits(header("alice", password), HOST)
    assert not await auth.admits(header("alice", password[:-1][:70]), HOST)


@given(st.one_of(st.text(), st.text().map(lambda text: f"Basic {text}")))
def test_any_header_is_survived(authorization: str) -> None:
    """No header raises, and none that was not made for it comes in."""
    assert not asyncio.run(BasicAuth(USERS, FakeClock(), Checks()).admits(authorization, HOST))

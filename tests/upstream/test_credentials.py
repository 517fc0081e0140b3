"""Where a token comes from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from exporter.model import Reason
from exporter.upstream.credentials import GivenToken, NoToken, TokenFile

if TYPE_CHECKING:
    from pathlib import Path


async def test_given_token_stays() -> None:
    """A token from the configuration is the only one there is."""
    given = GivenToken("t0")
    assert await given.token() == given.at_hand() == "t0"
    assert await given.renewed("t0") is None


async def test_token_at_hand_is_that_of_the_file(tmp_path: Path) -> None:
    """What can be had without waiting is the file's token, as new as the file; or nothing."""
    file = tmp_path / "token"
    credentials = TokenFile(file)
    assert credentials.at_hand() is None
    file.write_text("t1")
    assert credentials.at_hand() == await credentials.token() == "t1"
    file.write_text("two words")
    assert credentials.at_hand() is None


async def test_file_is_trimmed(tmp_path: Path) -> None:
    """White space around the token, such as a trailing newline, is no part of it."""
    file = tmp_path / "token"
    file.write_text("  t1\r\n\n")
    assert await TokenFile(file).token() == "t1"


async def test_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A token written over the old one is taken at the next poll."""
    file = tmp_path / "token"
    file.write_text("t1")
    credentials = TokenFile(file)
    assert await credentials.token() == "t1"
    file.write_text("t2-longer")
    assert await credentials.token() == "t2-longer"


async def test_swapped_link_is_followed(tmp_path: Path) -> None:
    """What counts is the file that a symbolic link leads to, as Kubernetes swaps it."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name)
        os.utime(tmp_path / name / "token", (1, 1))
    data = tmp_path / "..data"
    data.symlink_to("first")
    (tmp_path / "token").symlink_to("..data/token")
    credentials = TokenFile(tmp_path / "token")
    assert await credentials.token() == "first"
    (tmp_path / "..new").symlink_to("second")
    (tmp_path / "..new").replace(data)
    assert await credentials.token() == "second"


async def test_refused_token_is_read_again_even_if_the_file_looks_the_same(tmp_path: Path) -> None:
    """After a refusal the file is read whatever its time stamp says."""
    file = tmp_path / "token"
    file.write_text("t1")
    os.utime(file, (1, 1))
    credentials = TokenFile(file)
    assert await credentials.token() == "t1"
    assert await credentials.renewed("t1") is None
    file.write_text("t2")
    os.utime(file, (1, 1))
    assert await credentials.renewed("t1") == "t2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "credentials_file cannot be read: No such file or directory"),
        (b"", "credentials_file is empty: write the secret into it"),
        (b" \n", "credentials_file is empty: write the secret into it"),
        (b"\xff\xfe", "credentials_file cannot be read: it is not UTF-8"),
        (b"Bearer s3cret", "does not hold a bare token"),
        (b"s3cret\ns3cret", "does not hold a bare token"),
        ("s3crét".encode(), "does not hold a bare token"),
    ],
    ids=["missing", "empty", "blank", "binary", "bearer", "two lines", "not ASCII"],
)
async def test_unusable_file_is_unauthorized(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """A file without a usable token says what is wrong, without a word of what is in it."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NoToken) as caught:
        await TokenFile(file).token()
    assert caught.value.fault.reason is Reason.UNAUTHORIZED
    assert message in caught.value.fault.message
    assert "s3cr" not in caught.value.fault.message


async def test_file_that_comes_back_is_read(tmp_path: Path) -> None:
    """A file that was missing or empty for a while is used as soon as it is whole again."""
    file = tmp_path / "token"
    credentials = TokenFile(file)
    with pytest.raises(NoToken):
        await credentials.token()
    file.write_text("")
    with pytest.raises(NoToken):
        await credentials.token()
    file.write_text("t1")
    assert await credentials.token() == "t1"

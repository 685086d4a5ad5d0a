from __future__ import annotations

import os
from pathlib import Path

from holdfast.local.archive import _path, ensure_archive
from holdfast.local.progress import Silent


class Steps(Silent):
    """A progress that remembers the steps."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def step(self, text: str) -> None:
        """Note the step."""
        self.texts.append(text)


def test_another_state_of_the_jars_needs_another_archive(tmp_path: Path) -> None:
    """The JVM refuses an archive whose jars were touched, so it must not be found."""
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"aaa")
    before = _path((jar,), tmp_path)
    assert _path((jar,), tmp_path) == before
    os.utime(jar, (1, 1))
    assert _path((jar,), tmp_path) != before


def test_an_archive_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    """It only saves time; no start fails for want of it, and the second does not try again."""
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"this is no jar")
    first, second = Steps(), Steps()
    assert ensure_archive((jar,), first, tmp_path) is None
    assert ensure_archive((jar,), second, tmp_path) is None
    assert (len(first.texts), len(second.texts)) == (1, 0)

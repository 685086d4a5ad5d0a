"""`holdfast replay` asks before it changes anything."""

from __future__ import annotations

import io

import pytest
import typer

from holdfast.cli.standstill import confirm
from holdfast.errors import ReplayRefused


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_without_a_terminal_it_has_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that forgot it changes nothing."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(ReplayRefused, match="--yes"):
        confirm(yes=False)
    confirm(yes=True)


@pytest.mark.parametrize("answer", ["n", ""])
def test_in_a_terminal_anything_but_yes_is_no(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Enter alone too."""
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    with pytest.raises(typer.Abort):
        confirm(yes=False)


def test_yes_is_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it goes on."""
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    confirm(yes=False)

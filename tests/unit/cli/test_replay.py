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


@pytest.mark.parametrize(("given", "code"), [("n\n", 1), ("\n", 1), ("", 130)])
def test_in_a_terminal_anything_but_yes_is_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str, code: int
) -> None:
    """Enter alone too, and it is said that nothing was changed; Ctrl-D and Ctrl-C are an interrupt."""
    monkeypatch.setattr("sys.stdin", Terminal(given))
    with pytest.raises(typer.Exit) as ended:
        confirm(yes=False)
    assert ended.value.exit_code == code
    assert "nothing was changed" in capsys.readouterr().err


def test_yes_is_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it goes on."""
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    confirm(yes=False)

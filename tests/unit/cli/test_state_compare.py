"""`holdfast state diff` in a terminal: every key and value as it is."""

from __future__ import annotations

import pytest

from holdfast.cli import state_compare
from holdfast.runtime.state_diff import Comparison, Difference


def test_a_terminal_gets_a_table_and_the_differences_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What looks like markup in a key is part of the key."""
    monkeypatch.setattr(state_compare, "wants_json", lambda _: False)
    about = {"table": "sums", "slot": "vm-0", "shard": 3, "problem": None}
    found = Comparison(1200, 1, 2, 0, 4, (Difference(b"[red]k", b'{"a":1}', None),))
    state_compare._print([state_compare._row(about, found)], as_json=False)
    titles, row, difference = capsys.readouterr().out.splitlines()
    assert titles.split() == [
        "table",
        "slot",
        "shard",
        "equal",
        "differ",
        "only",
        "left",
        "only",
        "right",
        "behind",
    ]
    assert row.split() == ["sums", "vm-0", "3", "1,200", "1", "2", "0", "4"]
    assert difference == 'sums, [red]k: {"a":1} | -'

"""A history that a test records itself, and what is judged of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.chaos.checker import LOG_RULES
from holdfast.chaos.history import read, send
from holdfast.chaos.kit.history import RecordedHistory
from holdfast.errors import HistoryError


@pytest.fixture
def history(tmp_path: Path) -> Iterator[RecordedHistory]:
    """A history with a record that was sent and read."""
    with RecordedHistory(tmp_path) as made:
        made.invoke("writer", "send", [send("log", 1)]).ok([send("log", 1, offset=0)])
        made.invoke("reader", "poll").ok([read("log", 1, offset=0)])
        yield made


def test_what_clients_did_is_judged_by_the_rules_about_logs(history: RecordedHistory) -> None:
    verdict = history.verdict()
    assert verdict.validity == "valid"
    assert set(verdict.checked) <= set(LOG_RULES)


ROWS: dict[str, dict[str, Any]] = {
    "inputs": {"topic": "t", "partition": 0, "offset": 0, "key": "k", "value": 1},
    "outputs": {"position": 0, "key": "k", "topic": "t", "partition": 0, "offset": 0, "state": 1},
    "postings": {"position": 0, "account": "a", "transfer": "t", "amount": 5, "balance": 9},
}


@pytest.mark.parametrize("table", ROWS)
def test_rows_that_no_rule_about_logs_looks_at_are_refused(history: RecordedHistory, table: str) -> None:
    """Here a balance of 9 after 5: taken, it would be called valid."""
    with pytest.raises(HistoryError, match=f"a row of `{table}`: .*about logs alone.* `check_bank`"):
        history.row(table, **ROWS[table])
    assert history.verdict().validity == "valid"

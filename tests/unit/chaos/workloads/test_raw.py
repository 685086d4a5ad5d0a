"""How many records the clients of `raw` have written, also those that were killed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from holdfast.chaos.history import Recorder, seal, send
from holdfast.chaos.workloads.raw import ClientsWork, counts_of_sends


def test_records_are_counted_over_all_lives_of_the_clients() -> None:
    """What is supervised at the moment begins at 0 when it is started again."""
    workers: Any = SimpleNamespace(records=7, views=dict)
    work = ClientsWork(workers)
    assert (work.published, work.acknowledged) == (7, 7)


def test_in_the_end_the_history_says_how_many_there_were(tmp_path: Path) -> None:
    """A client that is killed has not said its last records to anybody, but it has recorded them."""
    with Recorder(tmp_path / "recordings", "client") as recorder:
        recorder.invoke("a", "txn", [send("log", 1), send("log", 2)]).ok(
            [send("log", 1, offset=0), send("log", 2, offset=1)]
        )
        recorder.invoke("a", "txn", [send("log", 3)]).fail("aborted")
        recorder.invoke("a", "txn", [send("log", 4)])
        recorder.invoke("a", "poll").ok([])
    found = counts_of_sends(seal(tmp_path / "recordings", tmp_path / "history"))
    assert found == {"published": 4, "acknowledged": 2, "of transactions that were given up": 1}

"""What `holdfast leader` makes of the leader's topic and the candidates' group."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from holdfast.cli.leader import (
    election_rows,
    elections_table,
    headline,
    leader_row,
    task_row,
    tasks_table,
)
from holdfast.cli.rows import print_table
from holdfast.engine.leader_log import Claim, Election, History, Run
from holdfast.runtime.leader_view import Candidates
from holdfast.topology import LeaderTaskDecl, Topology

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = LeaderTaskDecl.model_validate({"<name>": "tick", "task": "m:f", "every": "1h"})
NIGHTLY = LeaderTaskDecl.model_validate({"<name>": "nightly", "task": "m:f", "cron": "0 3 * * *"})
SHOP = Topology.model_validate(
    {"app": "shop", "topics": {"t": {"<name>": "t", "event": "m:E", "partitions": 1}}}
)


def claim(slot: str, at: datetime) -> Claim:
    """An election."""
    known = {"tick": "every 1h", "nightly": "0 3 * * * (UTC)"}
    return Claim(slot=slot, host="node", pid=7, at=at, schedules=known)


ELECTIONS = (Election(0, claim("a-0", NOON)), Election(9, claim("b-0", NOON + HOUR)))
RUN = Run(
    task="tick",
    token=0,
    scheduled_at=NOON,
    started_at=NOON,
    ended_at=NOON + timedelta(seconds=2.5),
    outputs=3,
    error="ValueError: no",
    runs=5,
    failures=1,
    missed_in_all=2,
)
HISTORY = History(ELECTIONS, {"tick": RUN}, dict.fromkeys(("tick", "nightly"), NOON))


@pytest.mark.parametrize(
    ("candidates", "state", "said"),
    [
        (
            Candidates(True, ("a-0", "b-0"), "b-0"),
            "leading",
            "b-0 (host node, pid 7) leads shop with token",
        ),
        (Candidates(True, ("a-0",), "a-0"), "being elected", "is being elected; 1 candidate"),
        (Candidates(False, ("a-0", "b-0"), None), "being elected", "is being elected; 2 candidates"),
        (Candidates(True, (), None), "nobody", "nobody leads shop: there is no candidate"),
    ],
)
def test_who_leads_is_what_the_group_and_the_topic_agree_on(
    candidates: Candidates, state: str, said: str
) -> None:
    """The owner of the partition who has not claimed yet does not lead, nor does the last who claimed."""
    row = leader_row(HISTORY, candidates)
    assert (row["state"], row["token"]) == (state, 9 if state == "leading" else None)
    assert said in headline(SHOP, row)


def test_a_task_has_its_last_run_and_its_next() -> None:
    """A failed one with its error; a cron task that never ran with its first time."""
    tick, nightly = task_row(TICK, HISTORY, NOON + 2 * HOUR), task_row(NIGHTLY, HISTORY, NOON)
    assert (tick["result"], tick["error"], tick["last_seconds"]) == ("failed", "ValueError: no", 2.5)
    assert (tick["runs"], tick["failures"], tick["missed"]) == (5, 1, 2)
    assert (tick["next"], tick["is_due"]) == ((NOON + HOUR).isoformat(), True)
    assert (nightly["result"], nightly["last_for"]) == (None, None)
    assert (nightly["next"], nightly["is_due"]) == ((NOON + 15 * HOUR).isoformat(), False)


def test_a_last_run_in_the_future_is_told_and_not_waited_for() -> None:
    """Which task, which time, who ran it, and what to do; the next run is by this clock."""
    row = task_row(TICK, HISTORY, NOON - 24 * HOUR)
    assert "recorded for 2026-03-02 12:00:00 UTC, 1 day, 0:00:00 ahead of this clock" in row["clock"]
    assert "a-0 on host node ran it" in row["clock"]
    assert "set both (NTP)" in row["clock"]
    assert (row["next"], row["is_due"]) == ((NOON - 24 * HOUR).isoformat(), True)
    assert task_row(TICK, HISTORY, NOON)["clock"] is None


def test_a_task_that_no_leader_knows_yet_has_no_next_time() -> None:
    """Its times begin with the next election; so do those of a changed schedule."""
    changed = LeaderTaskDecl.model_validate({"<name>": "nightly", "task": "m:f", "cron": "0 4 * * *"})
    assert task_row(changed, HISTORY, NOON)["next"] is None
    assert task_row(TICK, History(), NOON)["next"] is None


def test_elections_are_told_newest_first_each_until_the_next() -> None:
    """The present leader has no end."""
    newest, oldest = election_rows(ELECTIONS)
    assert (newest["token"], newest["until"]) == (9, None)
    assert (oldest["token"], oldest["until"]) == (0, (NOON + HOUR).isoformat())


def test_both_tables_fit_sixty_columns_with_their_names_whole() -> None:
    """Counts give way."""
    console = Console(file=io.StringIO(), width=60, force_terminal=True, color_system=None)
    print_table(tasks_table(console, [task_row(it, HISTORY, NOON) for it in (TICK, NIGHTLY)]), console)
    print_table(elections_table(console, list(election_rows(ELECTIONS))), console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().splitlines()
    assert len(shown) == 6
    assert [line.split()[0] for line in shown] == ["task", "tick", "nightly", "token", "9", "0"]
    assert "failed" in shown[1]
    assert "2026-03-03 03:00:00" in shown[2]

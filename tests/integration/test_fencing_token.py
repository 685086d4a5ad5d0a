"""Fencing tokens on real brokers: they only grow, and a system outside can refuse a zombie by them."""

from __future__ import annotations

import signal
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.application import Application
from tests.support.events import Added
from tests.support.load import Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
Make = Callable[..., Application]

FUTURE = 4_000_000_000_000
"""A token of the year 2096."""

TELL = """
from holdfast import Context, processor
from test_events import Added

@processor
def handle(event: Added, at: Context) -> Added:
    return Added(key=event.key, n=at.fencing_token, text=f"{at.partition} {at.offset}")
"""
"""Each output names its shard, its input's offset and the token."""

OUTSIDE = """
import os
import sqlite3
import time
from pathlib import Path

from holdfast import Context, processor
from test_events import Added

FOLDER = Path({folder!r})

@processor
def handle(event: Added, at: Context) -> None:
    token = at.fencing_token
    if event.text == "hold":
        mine = FOLDER / f"held-{{os.getpid()}}"
        if not list(FOLDER.glob("held-*")):
            mine.touch()
        while mine.exists() and not (FOLDER / "go").exists():
            time.sleep(0.01)
    with sqlite3.connect(FOLDER / "outside.db", timeout=20) as outside:
        row = (token, event.text, at.partition, token)
        done = outside.execute("UPDATE shards SET fence = ?, text = ? WHERE shard = ? AND fence <= ?", row)
        outside.execute("INSERT INTO attempts VALUES (?, ?, ?)", (os.getpid(), token, done.rowcount))
    outside.close()
"""
"""Writes to a database under the rule of the guide. One record is held until it is let go."""


def tokens(app: Application) -> dict[int, list[int]]:
    """For each shard, the tokens of its records in the order of the inputs; each record was handled once."""
    found: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for event in app.decoded("tokens"):
        partition, offset = map(int, event.text.split())
        assert offset not in found[partition], "handled twice"
        found[partition][offset] = event.n
    return {partition: [each[offset] for offset in sorted(each)] for partition, each in found.items()}


def teller(application: Make, **options: object) -> Application:
    """An application whose outputs are tokens."""
    return application(handler=TELL, tables={}, outputs={"tokens": (Added,)}, **options)


def publish(app: Application) -> None:
    """Publish something for every shard."""
    app.publish(*(Added(key=f"k{i}", n=i) for i in range(60)))


@pytest.mark.parametrize("guarantee", ["exactly-once", pytest.param("at-least-once", marks=pytest.mark.slow)])
def test_every_new_owner_of_a_shard_has_a_larger_token(
    on_both_protocols: Make, tmp_path: Path, guarantee: str
) -> None:
    """Stopped and started again, killed, in another slot, on another machine, and back.

    The clock is no help: a token of the future was noted.
    """
    app = teller(on_both_protocols, guarantee=guarantee)
    app.reset_positions(f"holdfast: fence {FUTURE}")
    for slot, home in [("a", None), ("a", None), ("b", None), ("b", tmp_path / "other"), ("a", None)]:
        with app.run(slot, home=home) as run:
            publish(app)
            run.until_drained()
            if slot == "b":
                run.kill()
                publish(app)
                run.until_drained()
    for shard, seen in tokens(app).items():
        assert seen == sorted(seen), f"shard {shard}"
        assert len(set(seen)) >= 7, f"shard {shard}: {sorted(set(seen))}"
        assert seen[0] > FUTURE


def test_tokens_grow_when_positions_were_reset(application: Make) -> None:
    """As a tool does to have records handled again: with the positions go the notes of the tokens."""
    app = teller(application)
    with app.run() as run:
        publish(app)
        run.until_drained()
    before = {shard: max(seen) for shard, seen in tokens(app).items()}
    app.reset_positions()
    with app.run() as run:
        run.until_drained()
    after: defaultdict[int, set[int]] = defaultdict(set)
    for event in app.decoded("tokens"):
        after[int(event.text.split()[0])].add(event.n)
    assert {shard: len(seen) for shard, seen in after.items()} == dict.fromkeys(before, 2)
    assert all(max(after[shard]) > token for shard, token in before.items())


@pytest.mark.slow
def test_shards_that_move_under_load_have_growing_tokens(application: Make) -> None:
    """Workers come, are killed, and are frozen past their session."""
    app = teller(application)
    with app.run(workers=2) as run:
        run.until_running()
        with Load(app, rate=400):
            run.until(lambda: len(tokens(app)) == 4, 30, "a record of every shard")
            run.kill(0)
            run.until(lambda: run.running() == 4 and run.views[0].restarts, 30, "all shards again")
            run.let_run(0.5)
            run.signal(signal.SIGSTOP, 1)
            try:
                run.until(lambda: run.views[0].status.shards.get("running") == 4, 30, "a takeover")
                run.let_run(0.5)
            finally:
                run.signal(signal.SIGCONT, 1)
            run.until(lambda: run.views[1].status.shards.get("running", 0) in (1, 2), 30, "its return")
            run.let_run(0.5)
        run.until_drained()
    for shard, seen in tokens(app).items():
        assert seen == sorted(seen), f"shard {shard}"
        assert len(set(seen)) >= 2


def test_a_system_outside_refuses_a_frozen_owner(application: Make, tmp_path: Path) -> None:
    """The worker sleeps between taking its token and using it; meanwhile another one does the work."""
    with closing(sqlite3.connect(tmp_path / "outside.db")) as outside:
        outside.execute("CREATE TABLE shards (shard INTEGER PRIMARY KEY, fence INTEGER, text TEXT)")
        outside.execute("CREATE TABLE attempts (pid INTEGER, token INTEGER, accepted INTEGER)")
        outside.execute("INSERT INTO shards VALUES (0, 0, '')")
        outside.commit()
        handler = OUTSIDE.format(folder=str(tmp_path))
        app = application(handler=handler, tables={}, outputs={}, topic={"partitions": 1})
        with app.run(workers=2) as run:
            run.until_running(1)
            owner = next(i for i, view in enumerate(run.views) if view.status.shards.get("running"))
            app.publish(Added(key="k", n=1, text="hold"))
            run.until(lambda: list(tmp_path.glob("held-*")), 20, "a handler at work")
            frozen = run.signal(signal.SIGSTOP, owner)
            try:
                run.until(lambda: accepted(outside), 30, "the other's write")
                app.publish(Added(key="k", n=2, text="newer"))
                run.until_drained()
                (tmp_path / "go").touch()
            finally:
                run.signal(signal.SIGCONT, owner)
            run.until(lambda: frozen in [pid for pid, _, _ in attempts(outside)], 20, "the late write")
            late = [each for each in attempts(outside) if each[0] == frozen]
            assert [accepted for _, _, accepted in late] == [0]
            assert late[0][1] < accepted(outside)[0]
            assert outside.execute("SELECT text FROM shards").fetchall() == [("newer",)]
            run.until_drained()


def attempts(outside: sqlite3.Connection) -> list[tuple[int, int, int]]:
    """Process, token and number of rows that were changed, of each write."""
    return outside.execute("SELECT * FROM attempts").fetchall()


def accepted(outside: sqlite3.Connection) -> list[int]:
    """Tokens of the writes that changed something."""
    return [token for _, token, changed in attempts(outside) if changed]

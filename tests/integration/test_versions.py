"""A new version of a processor beside the one that runs: a shadow until it is made live, and back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.switch import _switch
from holdfast.kafka import moves
from holdfast.kafka.positions import Committed, Role
from tests.support.application import (
    ADDS_AND_TAKES,
    COUNTER,
    FOLD,
    PARTITIONS,
    SLOW_FOLD,
    Application,
    Run,
)
from tests.support.events import Added
from tests.support.fold import assert_exactly_once
from tests.support.load import Load
from tests.support.two_inputs import BOTH, outputs_since, publish_both, sums_of
from tests.support.uncommitted import SESSION, caught_in_a_transaction, uncommitted
from tests.support.uncommitted import outputs as written_places
from tests.support.versions import (
    another_version,
    command,
    drain,
    outputs,
    prepare,
    rows_of,
    shadow_outputs,
    stands,
    switch,
    table,
)

pytestmark = pytest.mark.integration

RECORDS = 200


@pytest.fixture
def app(application: Callable[..., Application]) -> Application:
    """Give an application that has handled its records and was stopped; its processor has no version."""
    made = application()
    made.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(made)
    return made


@pytest.mark.slow
def test_a_shadow_beside_a_running_version_leaves_it_untouched(app: Application, tmp_path: Path) -> None:
    """Under load: same tables, same outputs on topics of its own, and nothing of it on the live one."""
    v2 = another_version(app, tmp_path, "v2")
    with app.run() as run:
        run.until_running()
        with Load(app, rate=500):
            done = prepare(v2)
            assert done.returncode == 0, done.stderr
            assert set(table(v2)) == set()
            with v2.run() as beside:
                beside.until(lambda: beside.views[0].records > RECORDS, 40, "records beyond the first")
                run.let_run(1.0)
        run.until_drained()
        assert [(view.restarts, view.error) for view in run.views] == [(0, "")]
    drain(v2)
    assert assert_exactly_once(app) > RECORDS
    assert {it.role for it in stands(app).values()} == {Role.LIVE}
    assert {it.role for it in stands(v2).values()} == {Role.SHADOW}
    assert table(v2) == table(app)
    assert shadow_outputs(v2) == outputs(app)


@pytest.mark.slow
def test_there_and_back_every_output_is_written_once(app: Application, tmp_path: Path) -> None:
    """By the one version up to where it stood, by the other from there."""
    v2 = another_version(app, tmp_path, "v2")
    assert prepare(v2).returncode == 0
    drain(v2)
    for n, (to, live, retired) in enumerate([("v2", v2, app), ("unversioned", app, v2), ("v2", v2, app)]):
        done = switch(v2, to)
        assert done.returncode == 0, done.stderr
        assert {it.role for it in stands(live).values()} == {Role.LIVE}
        assert {it.role for it in stands(retired).values()} == {Role.RETIRED}
        app.publish(*(Added(key=f"key-{m % 17}", n=m) for m in range(50)))
        drain(live)
        assert assert_exactly_once(app) == RECORDS + 50 * (n + 1)
    assert sum(map(len, shadow_outputs(v2).values())) == RECORDS


DYING = """
import os, signal, sys, threading
from confluent_kafka import Consumer, Producer
from holdfast.kafka import moves

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(Producer):
    def send_offsets_to_transaction(self, *arguments):
        super().send_offsets_to_transaction(*arguments)
        Dying.sent = getattr(Dying, "sent", 0) + 1
        if WHEN == "one group" and Dying.sent == 1 or WHEN == "both groups" and Dying.sent == 2:
            die()

    def commit_transaction(self, *arguments):
        if WHEN == "before the commit":
            die()
        if WHEN == "during the commit":
            threading.Timer(0.003, die).start()
        super().commit_transaction(*arguments)
        die()

WHEN = sys.argv.pop(1)
moves.Producer = Dying
from holdfast.cli.main import main
main()
"""
"""The command, killed at a moment of the transaction."""

MOMENTS = ["one group", "both groups", "before the commit", "during the commit", "after the commit"]


def switch_and_die(app: Application, to: str, when: str) -> None:
    """Kill the command at a moment."""
    arguments = ["switch", COUNTER, "--to", to, "--yes", "--bootstrap-servers", app.servers]
    command = [sys.executable, "-c", DYING, when, *arguments]
    for _ in range(5):
        died = subprocess.run(command, cwd=app.folder, capture_output=True, check=False)
        if b"too slowly" not in died.stderr:
            break
    assert died.returncode == -signal.SIGKILL, died.stderr


def run_some(app: Application, load: Load, records: int = 300) -> None:
    """Run a version under load for some records, and beyond where it muted."""
    with app.run() as run:
        run.until_running()
        goal = load.published + records
        run.until(lambda: app_total(app) >= goal, 40, f"{goal} offsets")


def app_total(app: Application) -> int:
    """Offsets that a version has passed."""
    return sum(it.offset or 0 for it in stands(app).values())


def roles(*versions: Application) -> tuple[Role, ...]:
    """Each version's role, which is the same in all partitions."""
    found = []
    for version in versions:
        [role] = {it.role for it in stands(version).values()}
        found.append(role)
    return tuple(found)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_killed_switch_is_done_or_not_and_no_output_is_lost_or_doubled(
    app: Application, tmp_path: Path
) -> None:
    """Under load, there and back, with the command killed at moments of its transaction."""
    v2 = another_version(app, tmp_path, "v2")
    names = {app: "unversioned", v2: "v2"}
    live, other = app, v2
    with Load(app, rate=300) as load:
        assert prepare(v2).returncode == 0
        run_some(v2, load)
        run_some(app, load)
        for when in MOMENTS:
            before = roles(live, other)
            switch_and_die(app, names[other], when)
            # What is open is ended by the next command; only then positions can be read.
            again = switch(app, names[other])
            assert again.returncode == 0, again.stderr
            if when == "after the commit":
                assert "live already" in again.stderr
            assert before[0] is Role.LIVE
            assert roles(live, other) == (Role.RETIRED, Role.LIVE)
            live, other = other, live
            run_some(live, load)
    drain(live)
    assert assert_exactly_once(app) > RECORDS


FREEZING = f"""
import os, pathlib, signal
from holdfast.kafka import unit_writer

class Freezing(unit_writer.Producer):
    def commit_transaction(self, *arguments):
        flag = pathlib.Path(__file__).parent / "freeze"
        if flag.exists():
            flag.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
        super().commit_transaction(*arguments)

unit_writer.Producer = Freezing
{FOLD}"""
"""A handler module whose worker freezes when all of a transaction is sent but its end, the positions too."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before its commit", "before its positions are sent"])
def test_a_worker_that_was_frozen_during_a_switch_writes_nothing(
    application: Callable[..., Application], tmp_path: Path, moment: str
) -> None:
    """What it had open is aborted, and when it wakes it ends: its version is retired."""
    app = application(commit_interval="3s", session_timeout=SESSION, handler=FREEZING)
    v2, flag = another_version(app, tmp_path, "v2"), app.folder / "freeze"
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(app)
    assert prepare(v2).returncode == 0
    shards = set(range(PARTITIONS))
    with Load(app, rate=300) as load, app.run() as run, ExitStack() as until_its_end:
        run.until(lambda: app_total(app) > 2 * RECORDS, 40, "records")
        if moment == "before its commit":
            flag.touch()
            run.until(lambda: not flag.exists(), 20, "the freeze")
            left = uncommitted(app, shards)
            assert left
        else:
            left = until_its_end.enter_context(caught_in_a_transaction(run, shards))
        done = switch(v2, "v2")
        assert done.returncode == 0, done.stderr
        run_some(v2, load)
        run.signal(signal.SIGCONT)
        run.until(lambda: run.supervisor.failed, 40, "the end of the retired version", failing=True)
        assert "retired" in run.views[0].error
        run_some(v2, load)
    drain(v2)
    assert assert_exactly_once(app) > RECORDS
    assert not left & written_places(app, "read_committed").keys()


@pytest.mark.slow
def test_workers_that_start_during_a_switch_wait_for_its_end(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of both versions: then the one works, and the other does not."""
    v2 = another_version(app, tmp_path, "v2")
    assert prepare(v2).returncode == 0
    drain(v2)
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(50)))
    runs = [Run(version, version.specs()) for version in (app, v2)]
    seen: list[int] = []

    def commit(client: Any, doing: str, usual: Callable[[Any, str], None] = moves._commit) -> None:
        for run in runs:
            run.supervisor.start()
            run.until(lambda: run.views[0].status.shards.get("restoring") == PARTITIONS, 30, "its shards")  # noqa: B023
        for run in runs:
            run.let_run(1.0)
            seen.append(run.running())
        usual(client, doing)

    monkeypatch.setattr(moves, "_commit", commit)
    old, new = app.topology.native[COUNTER], v2.topology.native[COUNTER]
    try:
        _switch(v2.topology, old, new, app.servers, yes=True, as_json=True)
        assert seen == [0, 0]
        runs[0].until(lambda: runs[0].supervisor.failed, 40, "a refusal", failing=True)
        assert "retired" in runs[0].views[0].error
        runs[1].until_drained()
    finally:
        for run in runs:
            run.stop()
    assert roles(app, v2) == (Role.RETIRED, Role.LIVE)
    assert assert_exactly_once(app) == RECORDS + 50


def failure_of(app: Application) -> str:
    """Why a version's worker ended for good."""
    with app.run() as run:
        run.until(lambda: run.supervisor.failed, 40, "a refusal", failing=True)
        return run.views[0].error


@pytest.mark.slow
def test_a_version_that_must_not_work_says_so(app: Application, tmp_path: Path) -> None:
    """One that was never prepared, one that is retired, and the old one when its positions are gone."""
    before, v2 = outputs(app), another_version(app, tmp_path, "v2")
    v2.provision()
    assert "--from beginning --into v2` prepares it as a shadow" in failure_of(v2)
    nobody = Committed(None, role=Role.UNKNOWN, was_noted=False)
    assert all(it == nobody for it in stands(v2).values())
    done = prepare(v2)
    assert done.returncode == 0, done.stderr
    drain(v2)
    # Another tool that sets a shadow's positions takes its note away: it does not become live by that.
    v2.reset_positions()
    assert "prepares it as a shadow" in failure_of(v2)
    again = prepare(v2)
    assert (again.returncode, "--again" in again.stderr) == (1, True), again.stderr
    assert prepare(v2, "--again").returncode == 0
    drain(v2)
    assert shadow_outputs(v2) == before
    assert switch(v2, "v2").returncode == 0
    assert "is retired" in failure_of(app)
    app.reset_positions()
    assert f"delete its group ({v2.group})" in failure_of(app)
    assert outputs(app) == before


def test_the_first_version_is_live_without_preparation(application: Callable[..., Application]) -> None:
    """It has nobody beside it."""
    app = application(version="v1")
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(app)
    assert assert_exactly_once(app) == RECORDS
    assert roles(app) == (Role.LIVE,)
    assert app.group.endswith(".counter.v1")


@pytest.mark.slow
def test_a_shadow_stays_one_whoever_works_in_it(app: Application, tmp_path: Path) -> None:
    """Two workers, of which one or the other is killed; `start: latest` says nothing to it."""
    written, v2 = outputs(app), another_version(app, tmp_path, "v2", handler=SLOW_FOLD, start="latest")
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(1000)))
    assert prepare(v2).returncode == 0
    with v2.run(workers=2) as run:
        for index, count in enumerate((100, 400)):
            run.until(lambda: app_total(v2) > count, 40, f"{count} records")  # noqa: B023
            run.kill(index)
        assert app_total(v2) < RECORDS + 1000, "too late to show anything"
        v2.hurry()
        run.until_drained()
    assert outputs(app) == written
    drain(app)
    assert shadow_outputs(v2) == outputs(app)
    assert table(v2) == table(app)
    assert roles(app, v2) == (Role.LIVE, Role.SHADOW)


@pytest.mark.slow
def test_a_shadow_that_is_ahead_is_not_made_live(app: Application, tmp_path: Path) -> None:
    """Outputs in between would be missing. When the live version has caught up, it is."""
    v2 = another_version(app, tmp_path, "v2")
    assert prepare(v2).returncode == 0
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(50)))
    drain(v2)
    refused = switch(v2, "v2")
    assert refused.returncode == 1
    assert "v2 is ahead of unversioned" in refused.stderr
    assert roles(app, v2) == (Role.LIVE, Role.SHADOW)
    drain(app)
    assert switch(v2, "v2").returncode == 0
    drain(v2)
    assert assert_exactly_once(app) == RECORDS + 50


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"guarantee": "at-least-once"}, marks=pytest.mark.slow),
        {"kafka": {"group.protocol": "consumer"}},
    ],
    ids=str,
)
def test_versions_are_switched_whatever_commits_the_positions(
    application: Callable[..., Application], tmp_path: Path, options: dict[str, Any]
) -> None:
    """The consumer, without transactions; or a group of the newer protocol."""
    app = application(**options)
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(app)
    v2 = another_version(app, tmp_path, "v2", **options)
    done = prepare(v2)
    assert done.returncode == 0, done.stderr
    drain(v2)
    assert shadow_outputs(v2) == outputs(app)
    for n, (to, live) in enumerate([("v2", v2), ("unversioned", app)]):
        done = switch(v2, to)
        assert done.returncode == 0, done.stderr
        app.publish(*(Added(key=f"key-{m % 17}", n=m) for m in range(50)))
        drain(live)
        assert assert_exactly_once(app) == RECORDS + 50 * (n + 1)


@pytest.mark.slow
def test_a_version_of_two_inputs_may_be_switched_to_while_it_is_behind(
    application: Callable[..., Application], tmp_path: Path
) -> None:
    """It has handled nothing yet; still each output is written once, and comes from the whole state."""
    app = application(handler=BOTH, inputs=ADDS_AND_TAKES)
    publish_both(app)
    drain(app)
    v2 = another_version(app, tmp_path, "v2", handler=BOTH)
    assert prepare(v2).returncode == 0
    written, sums = outputs(app), sums_of(app)
    done = switch(v2, "v2")
    assert done.returncode == 0, done.stderr
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(50)))
    drain(v2)
    assert outputs_since(app, written, sums) == 50
    assert sums_of(v2) == sums


@pytest.mark.slow
def test_a_shadows_dead_letters_are_its_own(application: Callable[..., Application], tmp_path: Path) -> None:
    """Those of the live version are what somebody acts on."""
    odd = FOLD.replace("    before =", "    if event.n % 10 == 7:\n        raise ValueError\n    before =")
    app = application(handler=odd, on_error="dead-letter")
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(app)
    letters = len(app.dead_letters())
    assert letters == RECORDS // 10
    v2 = another_version(app, tmp_path, "v2", handler=odd, on_error="dead-letter")
    assert prepare(v2).returncode == 0
    drain(v2)
    assert len(app.dead_letters()) == letters
    own = rows_of(v2, v2.topology.native[COUNTER].shadow(v2.topology.dead_letter_topic))
    assert sum(map(len, own.values())) == letters


@pytest.mark.slow
def test_what_cannot_be_prepared_or_switched_is_refused(app: Application, tmp_path: Path) -> None:
    """With what to do, and nothing changed."""
    v2 = another_version(app, tmp_path, "v2")
    before = stands(app)
    expected = {
        ("replay", COUNTER, "--from", "beginning", "--into", "v3"): "declares counter in version v2",
        ("replay", COUNTER, "--from", "beginning", "--again"): "--into VERSION",
        ("replay", COUNTER, "--from", "beginning", "--into", "v2", "--emit"): "leave them out",
        ("replay", COUNTER, "--from", "0:3", "--into", "v2", "--yes"): "beginning of all inputs",
        ("switch", COUNTER, "--to", "v2"): "never prepared (known: unversioned (live))",
    }
    for arguments, told in expected.items():
        done = command(v2, *arguments)
        assert (done.returncode, told in done.stderr) == (1, True), (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert prepare(v2).returncode == 0
    again = prepare(v2)
    assert (again.returncode, "exists already (shadow)" in again.stderr) == (1, True), again.stderr
    unsaid = command(v2, "switch", COUNTER, "--to", "v2")
    assert (unsaid.returncode, "say --yes" in unsaid.stderr) == (1, True), unsaid.stderr
    for running in (app, v2):
        with running.run() as run:
            run.until_running()
            busy = switch(v2, "v2")
        assert (busy.returncode, "run: " in busy.stderr) == (1, True), busy.stderr
    assert switch(v2, "unversioned").returncode == 0
    assert {n: it.offset for n, it in stands(app).items()} == {n: it.offset for n, it in before.items()}
    assert roles(app, v2) == (Role.LIVE, Role.SHADOW)


def compared(app: Application) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit code, counts by name and remarks of a comparison."""
    done = command(app, "compare", COUNTER)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert "Traceback" not in done.stderr
    return done.returncode, {row["name"]: row for row in rows if row["type"] != "position"}, done.stderr


def test_a_shadow_is_compared_with_the_live_version(app: Application, tmp_path: Path) -> None:
    """As far as both have come; then all of it. Another handler is told by its outputs and its tables."""
    v2 = another_version(app, tmp_path, "v2")
    sums, places = app.names.topic("sums"), len(table(app))
    assert prepare(v2).returncode == 0
    code, found, said = compared(v2)
    assert (code, found[sums]["only_live"], "sums" in found) == (3, RECORDS, False), said
    assert "not compared: sums (not at the same positions)" in said
    drain(v2)
    code, found, said = compared(v2)
    assert (code, "they are the same" in said) == (0, True), said
    assert (found[sums]["equal"], found["sums"]["equal"]) == (RECORDS, places)
    app.publish(*(Added(key="key-3", n=n) for n in range(10)))
    drain(app)
    code, found, said = compared(v2)
    assert (code, found[sums]["equal"], found[sums]["only_live"]) == (3, RECORDS, 10), said
    # One key is counted in another way.
    odd = FOLD.replace(
        "total=before.total + event.n", 'total=before.total + event.n + (event.key == "key-3")'
    )
    v3 = another_version(app, tmp_path, "v3", handler=odd)
    assert prepare(v3).returncode == 0
    drain(v3)
    code, found, said = compared(v3)
    assert (code, "they differ" in said) == (1, True), said
    assert (found["sums"]["differ"], found["sums"]["equal"]) == (1, places - 1)
    with_key = sum(event.key == "key-3" for event in app.decoded("sums"))
    assert found[sums]["differ"] == with_key
    assert {it["key"] for it in found[sums]["differences"]} == {"key-3"}
    refused = command(app, "compare", COUNTER)
    assert (refused.returncode, "is not a shadow" in refused.stderr) == (1, True), refused.stderr


@pytest.mark.slow
def test_outputs_that_are_missing_differ_although_the_rest_is_the_same(
    application: Callable[..., Application], tmp_path: Path
) -> None:
    """A version that is at the same place cannot be about to write them."""
    app = application(handler=FOLD)
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(app)
    silent = FOLD.replace(
        "    return Folded", "    if now.count == 12:\n        return None\n    return Folded"
    )
    v2 = another_version(app, tmp_path, "v2", handler=silent.replace("-> Folded", "-> Folded | None"))
    assert prepare(v2).returncode == 0
    drain(v2)
    code, found, said = compared(v2)
    assert (code, found["sums"]["differ"]) == (1, 0), said
    assert found[app.names.topic("sums")]["only_live"] == sum(e.count == 12 for e in app.decoded("sums"))

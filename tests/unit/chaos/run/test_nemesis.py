"""Faults happen at their times, are undone whatever happens, and what goes wrong is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.chaos.checker.invariants import SqlInvariant, check_invariants
from holdfast.chaos.experiment import KINDS, PlannedFault, load, schedule
from holdfast.chaos.faults.fault import Evidence, Fault
from holdfast.chaos.faults.members import Rolled
from holdfast.chaos.history import Recorder, seal
from holdfast.chaos.history.database import Bounds, Database
from holdfast.chaos.run.claims import Claims, meet
from holdfast.chaos.run.faults import Aimed
from holdfast.chaos.run.nemesis import Done, Nemesis
from holdfast.chaos.undo.actions import Action, Delete, Run
from holdfast.chaos.undo.journal import Journal
from holdfast.errors import FaultFailed, NothingMet

HEAD = """
name: one
description: For tests.
workload: {kind: sequence}
time_limit: 60s
invariants: [exactly-once]
faults:
"""


class Recorded(Fault):
    """A fault that does nothing but tell."""

    def __init__(self, undone: Path, *, begin: Exception | None = None, end: Exception | None = None) -> None:
        self.undone = undone
        self._begin, self._end = begin, end
        self.calls: list[str] = []

    def undo(self) -> tuple[Action, ...]:
        return (Delete(path=self.undone),)

    def begin(self) -> Evidence:
        self.calls.append("begin")
        self.undone.touch()
        if self._begin is not None:
            raise self._begin
        return {"done": True}

    def end(self) -> Evidence:
        self.calls.append("end")
        if self._end is not None:
            raise self._end
        return {"undone": True}


class Maker:
    """Gives faults that are made by the test."""

    def __init__(self, make: Callable[[PlannedFault], Aimed]) -> None:
        self.make = make


def planned(tmp_path: Path, *faults: str) -> tuple[PlannedFault, ...]:
    """The plan of some faults."""
    file = tmp_path / "one.yaml"
    file.write_text(HEAD + "".join(f"  - {fault}\n" for fault in faults))
    return schedule(load(file), 0)


KILL = "{at: 0s, fault: broker.kill, target: leader, for: 1s}"


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run(tmp_path: Path, maker: Maker, *faults: str, seconds: float = 0.3, **options: float) -> list[Done]:
    """Run a plan for a time, and return what was done."""
    plan, journal = planned(tmp_path, *faults), Journal(tmp_path / "journal")
    nemesis = Nemesis(plan, maker, journal, time.monotonic(), **options)  # type: ignore[arg-type]
    with nemesis:
        time.sleep(seconds)
    assert journal.open_entries() == ()
    return nemesis.done


def test_a_fault_is_begun_and_ended_and_what_was_seen_is_told(tmp_path: Path) -> None:
    fault = Recorded(tmp_path / "ballast")
    [done] = run(tmp_path, Maker(lambda _: Aimed(fault, ("broker-1",))), KILL, seconds=1.2)
    assert fault.calls == ["begin", "end"]
    assert done.evidence == {"begin": {"done": True}, "end": {"undone": True}}
    assert done.error == ""
    assert done.ended is not None
    assert done.ended - done.began >= 1.0


@pytest.mark.parametrize("error", [FaultFailed("it takes root"), KeyError("broker-1"), OSError(28, "full")])
def test_a_fault_that_does_not_happen_is_told_whatever_it_raises(tmp_path: Path, error: Exception) -> None:
    """And what it did until then is undone."""
    fault = Recorded(tmp_path / "ballast", begin=error)
    [done] = run(tmp_path, Maker(lambda _: Aimed(fault, ("broker-1",))), KILL)
    assert fault.calls == ["begin", "end"]
    assert str(error) in done.error
    assert "begin" not in done.evidence
    assert not fault.undone.exists()


def test_a_fault_for_which_nobody_would_know_what_undoes_it_is_not_begun(tmp_path: Path) -> None:
    class Unmet(Recorded):
        def undo(self) -> tuple[Action, ...]:
            raise FaultFailed("worker-1 stays down")

    fault = Unmet(tmp_path / "ballast")
    [done] = run(tmp_path, Maker(lambda _: Aimed(fault, ("worker-1",))), KILL)
    assert fault.calls == []
    assert (done.error, done.evidence) == ("worker-1 stays down", {})


def test_the_first_mistake_is_told_before_the_one_that_follows_from_it(tmp_path: Path) -> None:
    fault = Recorded(tmp_path / "ballast", begin=FaultFailed("first"), end=RuntimeError("second"))
    [done] = run(tmp_path, Maker(lambda _: Aimed(fault, ("broker-1",))), KILL)
    assert done.error == "first; then RuntimeError: second"
    assert done.ended is None
    assert not fault.undone.exists()


def test_whom_a_fault_did_not_meet_it_did_not_hit(tmp_path: Path) -> None:
    """Of some faults only the end can tell: a sink that was idle was not slow."""

    class Partly(Recorded):
        def met(self, hit: tuple[str, ...]) -> tuple[str, ...]:
            return hit[:1] if self.calls[-1] == "end" else ()

    maker = Maker(lambda _: Aimed(Partly(tmp_path / "ballast"), ("broker-1", "broker-2")))
    [done] = run(tmp_path, maker, KILL, seconds=1.2)
    assert (done.hit, done.error) == (("broker-1",), "")


def test_a_fault_that_met_nobody_is_over_and_was_no_fault(tmp_path: Path) -> None:
    """It was lifted before that was seen: it neither goes on in the report, nor is it in the history."""
    fault = Recorded(tmp_path / "ballast", end=NothingMet("no packet met it"))
    [done] = run(tmp_path, Maker(lambda _: Aimed(fault, ("broker-1",))), KILL, seconds=1.2)
    assert done.error == "no packet met it"
    assert done.ended is not None
    with Recorder(tmp_path / "recordings") as recorder:
        done.note_in(recorder)
    with Database(Bounds()) as database:
        seal(tmp_path / "recordings", tmp_path / "history").attach(database)
        assert database.number("SELECT count(*) FROM faults") == 0


def test_what_cannot_be_undone_keeps_nothing_else_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.chaos.undo.journal.TRY_FOR_S", 0.0)
    stuck = [Run(command=("sh", "-c", f"echo no {name}; exit 1")) for name in ("engine", "disk")]

    class Both(Recorded):
        def undo(self) -> tuple[Action, ...]:
            return (*super().undo(), *stuck)

    fault, journal = Both(tmp_path / "ballast"), Journal(tmp_path / "journal")
    maker = Maker(lambda _: Aimed(fault, ("broker-1",)))
    plan = planned(tmp_path, KILL)
    with Nemesis(plan, maker, journal, time.monotonic(), until_stopped=True) as nemesis:  # type: ignore[arg-type]
        time.sleep(0.2)
    assert not fault.undone.exists()
    assert [entry.action for entry in journal.open_entries()] == stuck
    [done] = nemesis.done
    assert "no engine" in done.error
    assert "no disk" in done.error


def test_a_fault_whose_role_nobody_has_is_left_out_with_the_reason(tmp_path: Path) -> None:
    def nobody(_: PlannedFault) -> Aimed:
        raise FaultFailed("steps/0 has no leader")

    [done] = run(tmp_path, Maker(nobody), KILL)
    assert (done.left_out, done.error) == ("steps/0 has no leader", "")
    [done] = run(tmp_path, Maker(lambda _: Aimed(Recorded(tmp_path / "b"), ())), KILL)
    assert (done.left_out, done.error) == ("nobody is leader now", "")


def test_a_fault_that_was_cut_short_is_told(tmp_path: Path) -> None:
    fault = Recorded(tmp_path / "ballast")
    [done] = run(tmp_path, Maker(lambda _: Aimed(fault, ("broker-1",))), KILL, seconds=0.2)
    assert "of 1.0 s: the run ended before" in done.error
    assert done.evidence["end"] == {"undone": True}


def test_a_fault_that_lasts_until_it_is_stopped_is_not_cut_short(tmp_path: Path) -> None:
    fault = Recorded(tmp_path / "ballast")
    maker = Maker(lambda _: Aimed(fault, ("broker-1",)))
    [done] = run(tmp_path, maker, KILL, seconds=0.2, until_stopped=True)
    assert done.error == ""


def test_two_faults_on_the_same_one_do_not_undo_each_other(tmp_path: Path) -> None:
    """A leader that is the controller, too: only the one that comes first is done."""
    begun, made = threading.Event(), []

    class Waits(Recorded):
        def begin(self) -> Evidence:
            begun.set()
            return super().begin()

    def make(fault: PlannedFault) -> Aimed:
        if fault.target is not None and fault.target.text == "controller":
            assert begun.wait(5)
        made.append(Waits(tmp_path / f"ballast-{len(made)}"))
        return Aimed(made[-1], ("broker-1",))

    freeze = "{at: 0s, fault: broker.freeze, target: controller, for: 1s}"
    first, second = run(tmp_path, Maker(make), KILL, freeze, seconds=1.3)
    held = first if first.planned.kind.name == "broker.freeze" else second
    assert "does the same to broker-1" in held.left_out
    assert sum(len(fault.calls) for fault in made) == 2


def test_faults_of_two_plans_that_share_their_claims_do_not_undo_each_other(tmp_path: Path) -> None:
    """As those of nested blocks of a test."""
    faults = [Recorded(tmp_path / "outer"), Recorded(tmp_path / "inner")]
    left = iter(faults)
    maker = Maker(lambda _: Aimed(next(left), ("broker-1",)))
    plan, claims, journal = planned(tmp_path, KILL), Claims(), Journal(tmp_path / "journal")
    with Nemesis(plan, maker, journal, 0.0, until_stopped=True, claims=claims):  # type: ignore[arg-type]
        until(lambda: faults[0].calls == ["begin"])
        with Nemesis(plan, maker, journal, 0.0, until_stopped=True, claims=claims) as inner:  # type: ignore[arg-type]
            until(lambda: bool(inner.done and inner.done[0].left_out))
        assert faults[0].calls == ["begin"]
    assert (faults[0].calls, faults[1].calls) == (["begin", "end"], [])


def test_a_container_is_taken_off_its_networks_by_one_fault_at_a_time() -> None:
    """The leader that is the controller, too: whoever connects it first would undo the other fault."""
    claims, alters = Claims(), KINDS["network.disconnect"].alters
    with claims.claimed(alters, ["broker-1"]), claims.claimed(alters, ["broker-1", "broker-2"]) as taken:
        assert taken == ["broker-1"]


def test_nothing_is_done_to_the_clock_of_a_broker_that_does_not_run(tmp_path: Path) -> None:
    killed, made = threading.Event(), []

    class Kills(Recorded):
        def begin(self) -> Evidence:
            killed.set()
            return super().begin()

    def make(fault: PlannedFault) -> Aimed:
        if fault.kind.name == "clock.jump":
            assert killed.wait(5)
        made.append(Kills(tmp_path / f"ballast-{len(made)}"))
        return Aimed(made[-1], ("broker-1",))

    jump = "{at: 0s, fault: clock.jump, target: any, offset: 2h, for: 1s}"
    held = [done for done in run(tmp_path, Maker(make), KILL, jump, seconds=1.3) if done.left_out]
    assert [done.planned.kind.name for done in held] == ["clock.jump"]


class Slow(Fault):
    """A fault that is not over when it should be."""

    def __init__(self, let_go: threading.Event) -> None:
        self._let_go = let_go

    def begin(self) -> Evidence:
        return {}

    def end(self) -> Evidence:
        self._let_go.wait(30)
        return {}


def test_a_fault_that_does_not_end_is_told_and_not_waited_for(tmp_path: Path) -> None:
    let_go, journal = threading.Event(), Journal(tmp_path / "journal")
    maker = Maker(lambda _: Aimed(Slow(let_go), ("broker-1",)))
    nemesis = Nemesis(planned(tmp_path, KILL), maker, journal, time.monotonic(), until_stopped=True)  # type: ignore[arg-type]
    nemesis.__enter__()
    began = time.monotonic()
    nemesis.stop(0.5)
    assert time.monotonic() - began < 5
    [done] = nemesis.done
    assert done.error == "it was not over 0.5 s after the run"
    let_go.set()


class SlowEnd(Recorded):
    """A fault whose end takes its time, as a server does to be back."""

    def __init__(self, undone: Path, seconds: float) -> None:
        super().__init__(undone)
        self._seconds = seconds

    def end(self) -> Evidence:
        time.sleep(self._seconds)
        return super().end()


def test_a_fault_that_begins_when_another_should_have_ended_waits_for_it(tmp_path: Path) -> None:
    """A `for` counts from when a fault has begun, and then its servers have to be back."""
    freeze = "{at: 600ms, fault: broker.freeze, target: broker-1, for: 100ms}"
    kills = "{at: 100ms, fault: broker.kill, target: broker-1, for: 100ms, times: 3, every: 100ms}"
    maker = Maker(lambda _: Aimed(SlowEnd(tmp_path / "ballast", 0.2), ("broker-1",)))
    made = run(tmp_path, maker, kills, freeze, seconds=3.5)
    assert [(done.left_out, done.error) for done in made] == [("", "")] * 4
    spans = sorted((done.began, done.ended or 0.0) for done in made)
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))


@pytest.mark.parametrize(
    ("other", "meets"),
    [((10, 20), False), ((30, 40), False), ((10, 21), True), ((20, 20), True), ((29, 99), True)],
)
def test_by_the_plan_a_fault_meets_neither_what_ends_when_it_begins_nor_what_begins_when_it_ends(
    other: tuple[float, float], meets: bool
) -> None:
    """Those that wait do not come in their order: one that was overtaken waits as well."""
    assert meet((20, 30), other) is meet(other, (20, 30)) is meets


def test_whom_a_fault_hits_that_waited_is_looked_up_again(tmp_path: Path) -> None:
    """Who leads when it begins at last may be another one."""
    leaders = iter(["broker-1", "broker-1", "broker-2"])
    kills = "{at: 0s, fault: broker.kill, target: leader, for: 100ms, times: 2, every: 100ms}"
    maker = Maker(lambda _: Aimed(SlowEnd(tmp_path / "ballast", 0.4), (next(leaders),)))
    made = run(tmp_path, maker, kills, seconds=1.5)
    assert [done.hit for done in made] == [("broker-1",), ("broker-2",)]


@pytest.mark.parametrize("patience_s", [0.0, 0.3])
def test_a_fault_does_not_wait_for_another_one_for_ever(tmp_path: Path, patience_s: float) -> None:
    """Nor at all where it comes by chance: it would reach into the next period."""
    kills = "{at: 0s, fault: broker.kill, target: broker-1, for: 100ms, times: 2, every: 100ms}"
    maker = Maker(lambda _: Aimed(SlowEnd(tmp_path / "ballast", 2.0), ("broker-1",)))
    _, second = run(tmp_path, maker, kills, seconds=1.0, patience_s=patience_s)
    assert "does the same to broker-1" in second.left_out


def test_a_fault_that_waits_for_another_one_is_left_out_when_the_run_ends(tmp_path: Path) -> None:
    let_go, journal = threading.Event(), Journal(tmp_path / "journal")
    maker = Maker(lambda _: Aimed(Slow(let_go), ("broker-1",)))
    kills = "{at: 0s, fault: broker.kill, target: broker-1, for: 100ms, times: 2, every: 100ms}"
    nemesis = Nemesis(planned(tmp_path, kills), maker, journal, time.monotonic())  # type: ignore[arg-type]
    with nemesis:
        until(lambda: len(nemesis.done) == 2)
        nemesis.stop(0.5)
        _, second = nemesis.done
        assert "does the same to broker-1" in second.left_out
        let_go.set()


def test_no_fault_goes_on_when_the_system_gives_no_more_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block is not entered then, so that nobody else would undo it."""
    fault, journal = Recorded(tmp_path / "ballast"), Journal(tmp_path / "journal")
    plan = planned(tmp_path, KILL, "{at: 1s, fault: broker.freeze, target: controller, for: 1s}")
    maker = Maker(lambda _: Aimed(fault, ("broker-1",)))
    nemesis = Nemesis(plan, maker, journal, time.monotonic(), until_stopped=True)  # type: ignore[arg-type]
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "broker.freeze":
            until(lambda: fault.calls == ["begin"])
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(FaultFailed, match="no thread for more than 1 of 2 faults: can't start new thread"):
        nemesis.__enter__()
    assert fault.calls == ["begin", "end"]
    assert not [thread for thread in threading.enumerate() if thread.name == "broker.kill"]


class Servers:
    """Servers of which each start is another process."""

    names = ("broker-1", "broker-2", "broker-3")

    def __init__(self) -> None:
        self.lives = dict.fromkeys(self.names, 0)

    def incarnation(self, name: str) -> str | None:
        return f"life {self.lives[name]}"

    def stop(self, _name: str) -> None:
        """It is gone with the next start."""

    def start(self, name: str) -> None:
        self.lives[name] += 1

    def wait_until_whole(self, _timeout: float) -> None:
        """They always are."""


def test_a_rolling_restart_stops_between_two_servers_when_the_run_is_over(tmp_path: Path) -> None:
    servers = Servers()
    fault = Rolled(servers, servers.names, pause_s=20.0)  # type: ignore[arg-type]
    began = time.monotonic()
    rolling = "{at: 0s, fault: broker.rolling, pause: 20s}"
    [done] = run(tmp_path, Maker(lambda _: Aimed(fault, servers.names)), rolling)
    assert time.monotonic() - began < 5
    assert done.error == "the run ended when 1 of 3 had been restarted"
    assert servers.lives == {"broker-1": 1, "broker-2": 0, "broker-3": 0}


def test_own_invariants_can_ask_for_the_faults_of_a_run(tmp_path: Path) -> None:
    good = Recorded(tmp_path / "ballast")
    faults = {"leader": Aimed(good, ("broker-1", "broker-3")), "controller": Aimed(good, ())}
    freeze = "{at: 0s, fault: broker.freeze, target: controller, for: 1s}"
    made = run(tmp_path, Maker(lambda it: faults[str(it.target)]), KILL, freeze, seconds=1.3)
    with Recorder(tmp_path / "recordings") as recorder:
        recorder.invoke("reader", "poll").ok()
        for done in made:
            done.note_in(recorder)
    history = seal(tmp_path / "recordings", tmp_path / "history")
    sql = """
        SELECT name, target, ended - began >= 1e9 AS long, evidence->>'$.begin.done' AS done FROM faults
        ORDER BY began
    """
    verdict = check_invariants(history, [SqlInvariant("no-faults", sql, "operations")])
    [finding] = verdict.findings
    shown = "name broker.kill, target broker-1, broker-3, long True, done true"
    assert [str(it) for it in finding.examples] == [f"no-faults: {shown}"]

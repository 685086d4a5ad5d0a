"""A run is judged by what was recorded, also where its end goes wrong."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from holdfast.chaos.checker.finished import PartitionEnd
from holdfast.chaos.experiment import Experiment, OwnInvariant, load
from holdfast.chaos.history import Recorder
from holdfast.chaos.run import runner
from holdfast.chaos.run.breakers import BreakerStates
from holdfast.chaos.run.breaking import Broken
from holdfast.chaos.run.ends import Ends
from holdfast.chaos.run.parts import Holders
from holdfast.chaos.run.result import InvariantResult, RunResult
from holdfast.chaos.run.runner import HISTORY, Runner
from holdfast.chaos.run.settings import RunSettings, Untold
from holdfast.chaos.workloads.choice import RECORDINGS
from holdfast.chaos.workloads.plans import SEQUENCE
from holdfast.checks import CheckResult
from holdfast.errors import BrokersUnreachable, FaultFailed, HistoryError, HoldfastError
from tests.support.experiments import EXPERIMENT


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """Some experiment."""
    file = tmp_path / "one.yaml"
    file.write_text(EXPERIMENT)
    return load(file)


class Brokers:
    """A lab without brokers, whose end may fail."""

    bootstrap_servers = "127.0.0.1:1"

    def __init__(self, end: BaseException | None) -> None:
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            raise self._end


SCENE = {
    "workload": SimpleNamespace(facts={}, plan=None),
    "groups": (),
    "parts": SimpleNamespace(owners=Holders(), leaders=Holders()),
}


class Uneventful:
    """A course in which nothing happens, or which cannot be brought to its end."""

    error: HoldfastError | None = None

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.broken = Broken(0.0)
        self.counts: dict[str, int] = {}
        self.breakers = BreakerStates()
        self.load_s = 0.0

    def run(self, _plan: object) -> None:
        if self.error is not None:
            raise self.error

    def samples(self) -> tuple[()]:
        return ()

    recovery = samples


RunToItsEnd = Callable[..., RunResult]


@pytest.fixture
def ends(tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> RunToItsEnd:
    """Run an experiment whose course and whose end go as they are said to."""

    def scene(experiment: Experiment, settings: RunSettings, *_: object) -> SimpleNamespace:
        return SimpleNamespace(experiment=experiment, settings=settings, trouble=[], **SCENE)

    def run(
        end: BaseException | None,
        course: HoldfastError | None = None,
        *,
        judging: Exception | None = None,
        held: str = "valid",
        experiment: Experiment = experiment,
    ) -> RunResult:
        def judged(_: object) -> tuple[InvariantResult, ...]:
            if judging is not None:
                raise judging
            return (InvariantResult("exactly-once", held),)

        monkeypatch.setattr(Uneventful, "error", course)
        monkeypatch.setattr(runner, "Course", Uneventful)
        monkeypatch.setattr(runner.Scene, "of", scene)
        monkeypatch.setattr(runner, "lab_of", lambda *_: Brokers(end))
        monkeypatch.setattr(runner, "_judged", judged)
        return Runner(experiment, RunSettings(1, tmp_path / "run", "x"), Untold()).run()

    return run


def test_what_cannot_be_cleared_away_is_told_beside_the_verdict(tmp_path: Path, ends: RunToItsEnd) -> None:
    first, second = BrokersUnreachable("may not delete groups"), FaultFailed("could not be undone: topics")
    second.__context__ = first
    result = ends(second)
    assert result.trouble == (f"not all could be cleared away: {first}; then {second}",)
    assert [claim.validity for claim in result.invariants] == ["valid"]
    assert result.validity == "unknown"
    assert RunResult.load(tmp_path / "run") == result


@pytest.mark.parametrize("error", [HistoryError("Out of Memory Error"), FaultFailed("no such plan")])
def test_a_run_whose_history_cannot_be_judged_keeps_what_was_measured(
    tmp_path: Path, ends: RunToItsEnd, experiment: Experiment, error: HoldfastError
) -> None:
    own = OwnInvariant(name="own", sql="SELECT * FROM steps")
    result = ends(None, judging=error, experiment=replace(experiment, own_invariants=(own,)))
    assert result.trouble == (f"the history could not be judged: {error}",)
    assert [claim.name for claim in result.invariants] == [*experiment.invariants, "own"]
    assert {claim.validity for claim in result.invariants} == {"unknown"}
    assert result.invariants[0].problems[0].examples == (f"it could not be checked: {error}",)
    assert result.validity == "unknown"
    assert RunResult.load(tmp_path / "run") == result


def test_a_history_that_cannot_be_sealed_leaves_what_needs_none(
    tmp_path: Path, experiment: Experiment
) -> None:
    """What an application's own checks and the ends of its partitions have shown stays shown."""
    with Recorder(tmp_path / RECORDINGS) as recorder:
        recorder.invoke("p", "crash").unknown("crashed")
    (tmp_path / HISTORY).mkdir()
    names = ("exactly-once", "no-lost-writes", "transactions-finished", "application-checks")
    scene = SimpleNamespace(
        experiment=replace(experiment, invariants=names),
        settings=RunSettings(1, tmp_path, "x"),
        trouble=list[str](),
        workload=SimpleNamespace(plan=SEQUENCE),
    )
    ends = Ends((PartitionEnd("stepped", 0, 4, 5),), checks=(CheckResult.of("adds up", ["7 is missing"]),))
    course: Any = SimpleNamespace(scene=scene, counts={}, ends=ends, is_complete=True)
    found = {claim.name: claim.validity for claim in runner._judged(course)}
    assert found == dict(zip(names, ("unknown", "unknown", "invalid", "invalid"), strict=True))
    [told] = scene.trouble
    assert told.startswith(f"the history could not be sealed: {tmp_path / HISTORY} exists")


def test_a_mistake_of_ours_while_judging_is_raised_and_what_was_measured_is_kept(
    tmp_path: Path, ends: RunToItsEnd
) -> None:
    with pytest.raises(KeyError, match="shard"):
        ends(None, judging=KeyError("shard"))
    assert RunResult.load(tmp_path / "run").trouble == ("the history could not be judged: KeyError('shard')",)


@pytest.mark.parametrize(("held", "validity"), [("valid", "unknown"), ("invalid", "invalid")])
def test_a_result_that_cannot_be_written_is_told_and_hides_no_broken_claim(
    tmp_path: Path, ends: RunToItsEnd, monkeypatch: pytest.MonkeyPatch, held: str, validity: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    result = ends(None, held=held)
    where = tmp_path / "run" / "run.json"
    assert result.trouble == (f"{where} cannot be written: No space left on device",)
    assert result.validity == validity


def test_a_run_whose_course_came_to_no_end_has_no_verdict(tmp_path: Path, ends: RunToItsEnd) -> None:
    with pytest.raises(BrokersUnreachable, match="no answer"):
        ends(None, BrokersUnreachable("no answer"))
    with pytest.raises(FaultFailed, match="topics"):
        ends(FaultFailed("could not be undone: topics"), BrokersUnreachable("no answer"))
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt()])
def test_an_interrupt_or_a_mistake_of_ours_ends_it_at_any_time(ends: RunToItsEnd, error: Any) -> None:
    with pytest.raises(type(error)):
        ends(error)

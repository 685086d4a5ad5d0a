"""A run is judged by what was recorded, also where its end goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from holdfast.chaos.experiment import Experiment, load
from holdfast.chaos.run import runner
from holdfast.chaos.run.breakers import BreakerStates
from holdfast.chaos.run.breaking import Broken
from holdfast.chaos.run.parts import Holders
from holdfast.chaos.run.result import InvariantResult, RunResult
from holdfast.chaos.run.runner import Runner
from holdfast.chaos.run.settings import RunSettings, Untold
from holdfast.errors import BrokersUnreachable, FaultFailed, HoldfastError
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


Ends = Callable[..., RunResult]


@pytest.fixture
def ends(tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> Ends:
    """Run an experiment whose course and whose end go as they are said to."""
    held = (InvariantResult("exactly-once", "valid"),)

    def scene(experiment: Experiment, settings: RunSettings, *_: object) -> SimpleNamespace:
        return SimpleNamespace(experiment=experiment, settings=settings, trouble=[], **SCENE)

    def run(end: BaseException | None, course: HoldfastError | None = None) -> RunResult:
        monkeypatch.setattr(Uneventful, "error", course)
        monkeypatch.setattr(runner, "Course", Uneventful)
        monkeypatch.setattr(runner.Scene, "of", scene)
        monkeypatch.setattr(runner, "lab_of", lambda *_: Brokers(end))
        monkeypatch.setattr(runner, "_judged", lambda _: held)
        return Runner(experiment, RunSettings(1, tmp_path / "run", "x"), Untold()).run()

    return run


def test_what_cannot_be_cleared_away_is_told_beside_the_verdict(tmp_path: Path, ends: Ends) -> None:
    first, second = BrokersUnreachable("may not delete groups"), FaultFailed("could not be undone: topics")
    second.__context__ = first
    result = ends(second)
    assert result.trouble == (f"not all could be cleared away: {first}; then {second}",)
    assert [claim.validity for claim in result.invariants] == ["valid"]
    assert result.validity == "unknown"
    assert RunResult.load(tmp_path / "run") == result


def test_a_run_whose_course_came_to_no_end_has_no_verdict(tmp_path: Path, ends: Ends) -> None:
    with pytest.raises(BrokersUnreachable, match="no answer"):
        ends(None, BrokersUnreachable("no answer"))
    with pytest.raises(FaultFailed, match="topics"):
        ends(FaultFailed("could not be undone: topics"), BrokersUnreachable("no answer"))
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt()])
def test_an_interrupt_or_a_mistake_of_ours_ends_it_at_any_time(ends: Ends, error: Any) -> None:
    with pytest.raises(type(error)):
        ends(error)

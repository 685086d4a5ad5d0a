"""What the runner refuses, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.chaos.experiment import Experiment, load
from holdfast.chaos.run.possible import require_possible
from holdfast.errors import ChaosError


def experiment(folder: Path, workload: str) -> Experiment:
    """An experiment on a workload."""
    file = folder / "x.yaml"
    file.write_text(
        f"name: x\ndescription: x\nworkload: {workload}\ntime_limit: 60s\n"
        "faults: [{at: 1s, fault: worker.kill, target: any, for: 5s}]\ninvariants: [exactly-once]\n"
    )
    return load(file)


@pytest.mark.parametrize("engine", ["holdfast", "client", "at-least-once"])
@pytest.mark.parametrize("kind", ["sequence", "bank"])
def test_these_engines_can_be_run(tmp_path: Path, kind: str, engine: str) -> None:
    require_possible(experiment(tmp_path, f"{{kind: {kind}, engine: {engine}}}"))


def test_an_engine_that_is_not_built_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match=r"x\.yaml:3: the engine `faust` cannot be run"):
        require_possible(experiment(tmp_path, "{kind: sequence, engine: faust}"))

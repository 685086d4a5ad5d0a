"""What a report is told of the workload of an experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.chaos.experiment import load
from holdfast.chaos.workloads.choice import declared_facts
from tests.support.experiments import EXPERIMENT

OF_AN_ENGINE = {"engine", "keys", "standby", "commit_interval", "session_timeout", "cache_entries"}


@pytest.mark.parametrize(("kind", "told"), [("raw", set()), ("sequence", OF_AN_ENGINE)])
def test_of_raw_nothing_is_told_that_only_an_engine_has(tmp_path: Path, kind: str, told: set[str]) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(EXPERIMENT.replace("sequence", kind).replace("exactly-once", "no-lost-writes"))
    facts = declared_facts(load(file))
    assert OF_AN_ENGINE & facts.keys() == told
    assert {"kind": kind, "rate": 2000, "workers": 3, "partitions": 6}.items() <= facts.items()

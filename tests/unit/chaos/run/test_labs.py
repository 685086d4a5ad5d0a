"""The brokers that an experiment asks for, and what it takes from those that it finds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from holdfast.chaos.experiment import Experiment, load
from holdfast.chaos.lab.external import ExternalLab, ForeignBrokers
from holdfast.chaos.run.labs import adapted, lab_of, lab_settings, most_workers
from holdfast.chaos.run.settings import RunSettings
from holdfast.local.progress import Silent

THEIRS = "{kind: external, bootstrap_servers: 'a:9092', fair_game: true}"


def experiment(
    folder: Path, cluster: str = "{brokers: 3}", fault: str = "worker.kill, target: any"
) -> Experiment:
    """An experiment on a cluster."""
    file = folder / "x.yaml"
    file.write_text(
        f"name: x\ndescription: x\ncluster: {cluster}\nworkload: {{kind: sequence, workers: 2}}\n"
        f"time_limit: 60s\nfaults: [{{at: 1s, fault: {fault}, for: 5s}}]\ninvariants: [exactly-once]\n"
    )
    return load(file)


def test_on_a_cluster_of_others_all_names_begin_with_the_prefix_of_the_run(tmp_path: Path) -> None:
    """And it has as many brokers as it has. What was given stays as it is."""
    declared, settings = experiment(tmp_path, THEIRS), RunSettings(1, tmp_path, "x")
    lab = lab_of(declared, settings, Silent())
    assert isinstance(lab, ExternalLab)
    lab.brokers = ForeignBrokers("a:9092", [4, 7], lab.prefix)
    before = declared.cluster.brokers
    found, changed = adapted(declared, settings, lab)
    assert (found.cluster.brokers, changed.prefix) == (2, lab.prefix)
    assert (declared.cluster.brokers, settings.prefix) == (before, "")


def test_on_brokers_of_its_own_all_is_as_it_was_asked(tmp_path: Path) -> None:
    declared, settings = experiment(tmp_path), RunSettings(1, tmp_path, "x", prefix="r1-")
    assert adapted(declared, settings, cast("Any", SimpleNamespace())) == (declared, settings)


def test_workers_that_a_fault_adds_have_a_place_from_the_start(tmp_path: Path) -> None:
    more = experiment(tmp_path, fault="worker.scale, to: 5")
    assert most_workers(more) == 5
    assert lab_settings(more, 3).workers == tuple(f"worker-{number}" for number in range(5))
    assert lab_settings(more, 3).seed == 3

"""Which candidates for the leader tasks a run starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.errors import TopologyError
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.topology import Topology, load

TASKS = "leader_tasks: {tick: {task: m:f, every: 1h}}\n"
WORKS = "processors: {count: {handler: m:f, reads: [t]}}\n"


def shop(folder: Path, *parts: str) -> Topology:
    """A topology with these parts."""
    file = folder / "topology.yaml"
    file.write_text("app: shop\ntopics: {t: {event: m:E, partitions: 1}}\n" + "".join(parts))
    return load(file)


def started(topology: Topology, *only: str, candidates: int = 1) -> list[tuple[str, str]]:
    """What is started for it, by name and slot."""
    settings = LaunchSettings("b:1", Path("/home"), "host", candidates=candidates)
    return [(spec.processor, spec.slot) for spec in worker_specs(topology, settings, only)]


def test_a_run_has_its_candidates_after_its_workers(tmp_path: Path) -> None:
    """One unless it is told another number."""
    topology = shop(tmp_path, TASKS, WORKS)
    assert started(topology) == [("count", "host-0"), ("leader", "host-0")]
    assert started(topology, candidates=2)[1:] == [("leader", "host-0"), ("leader", "host-1")]
    assert started(topology, candidates=0) == [("count", "host-0")]


def test_named_parts_are_all_that_is_started(tmp_path: Path) -> None:
    """`leader` stands for the candidates, one at least."""
    topology = shop(tmp_path, TASKS, WORKS)
    assert started(topology, "count") == [("count", "host-0")]
    assert started(topology, "leader", candidates=0) == [("leader", "host-0")]
    assert started(topology, "count", "leader") == [("count", "host-0"), ("leader", "host-0")]


def test_an_application_without_leader_tasks_has_no_candidates(tmp_path: Path) -> None:
    """And `leader` is nothing there, or a processor's name."""
    assert started(shop(tmp_path, WORKS)) == [("count", "host-0")]
    with pytest.raises(TopologyError, match='processor "leader" is not declared'):
        started(shop(tmp_path, WORKS), "leader")
    named = shop(tmp_path, WORKS.replace("count", "leader"))
    (spec,) = worker_specs(named, LaunchSettings("b:1", tmp_path, "host"), ["leader"])
    assert "holdfast.runtime.process" in spec.command(3)


def test_leader_tasks_alone_are_enough_to_run(tmp_path: Path) -> None:
    """Unless nobody is to lead."""
    assert started(shop(tmp_path, TASKS)) == [("leader", "host-0")]
    with pytest.raises(TopologyError, match="nothing to run"):
        started(shop(tmp_path, TASKS), candidates=0)


def test_a_candidate_has_a_slot_and_a_log_of_its_own(tmp_path: Path) -> None:
    """Beside those of the workers in the same slot."""
    (spec,) = worker_specs(shop(tmp_path, TASKS), LaunchSettings("b:1", tmp_path, "h.example", candidates=1))
    *program, orders = spec.command(7)
    assert program[1:] == ["-m", "holdfast.runtime.leader_process"]
    assert json.loads(orders)["folder"] == str(tmp_path / "state" / "shop" / "leader" / "h.example-0")
    assert spec.log == tmp_path / "logs" / "shop" / "leader" / "h.example-0.log"

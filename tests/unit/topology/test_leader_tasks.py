"""Leader tasks in a topology: what is declared, and what the cluster has to hold for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.engine.plan import check_handler
from holdfast.errors import TopologyErrors
from holdfast.topology import Topology, check_file, load, plan
from holdfast.topology.spec import TopicSpec

HEAD = """\
app: shop
topics:
  days:  {event: schemas_lt:Day, key: name, partitions: 3}
  notes: {event: schemas_lt:Note, partitions: 1, replication: 1}
"""
MODULE = """
from holdfast import Event, Leadership, leader_task
class Day(Event):
    name: str
class Note(Event):
    text: str
@leader_task
def close_day(leadership: Leadership) -> Day | None: ...
def takes_an_event(day: Day) -> None: ...
async def waits() -> None: ...
number = 1
"""


def read(folder: Path, tasks: str) -> Topology:
    """Load a topology with these leader tasks."""
    file = folder / "topology.yaml"
    file.write_text(HEAD + tasks)
    return load(file)


def test_tasks_are_read_with_their_defaults(tmp_path: Path) -> None:
    """An interval in milliseconds, or an expression with a zone; nothing to write unless declared."""
    topology = read(
        tmp_path,
        "leader_tasks:\n"
        "  tick: {task: jobs:tick, every: 30s}\n"
        '  close-day: {task: jobs:f, cron: "0 3 * * *", timezone: Europe/Berlin, writes: [days]}\n',
    )
    tick, close = topology.leader_tasks["tick"], topology.leader_tasks["close-day"]
    assert (tick.name, tick.every_ms, tick.cron, tick.timezone, tick.writes) == (
        "tick",
        30_000,
        None,
        "UTC",
        (),
    )
    assert (close.every_ms, close.cron, close.timezone) == (None, "0 3 * * *", "Europe/Berlin")
    assert close.writes == ("days",)
    assert topology.leader_session_timeout_ms == 6_000


def test_the_leaders_topic_is_there_only_when_somebody_leads(tmp_path: Path) -> None:
    """One partition, compacted, on as many brokers as the best kept of the application's topics."""
    assert read(tmp_path, "").internal_topics() == ()
    (spec,) = read(tmp_path, "leader_tasks: {tick: {task: jobs:f, every: 1h}}\n").internal_topics()
    assert (spec.name, spec.partitions, spec.replication) == ("shop.leader", 1, 3)
    assert spec.config["cleanup.policy"] == "compact"
    assert spec.config["min.insync.replicas"] == "2"


def test_a_leaders_topic_with_more_partitions_is_told_with_what_to_do(tmp_path: Path) -> None:
    """Two owners would be two leaders."""
    topology = read(tmp_path, "leader_tasks: {tick: {task: jobs:f, every: 1h}}\n")
    (spec,) = topology.internal_topics()
    found = {spec.name: TopicSpec(spec.name, 2, 1, spec.config)}
    texts = [each.text for each in plan(topology, found) if each.wanted.name == spec.name]
    assert "Delete shop.leader and apply again" in texts[0]
    assert "dead letters" not in texts[0]
    assert "Declare replication: 1 for a topic" in texts[1]


def test_what_tasks_name_is_checked_with_its_line(tmp_path: Path) -> None:
    """Functions that are missing, cannot be served, or promise what no topic of theirs carries."""
    (tmp_path / "schemas_lt.py").write_text(MODULE)
    file = tmp_path / "topology.yaml"
    file.write_text(
        HEAD + "leader_tasks:\n"
        "  good:     {task: schemas_lt:close_day, every: 1h, writes: [days]}\n"
        "  missing:  {task: schemas_lt:close_dya, every: 1h}\n"
        "  nowhere:  {task: schemas_lt:close_day, every: 1h, writes: [notes]}\n"
        "  asks:     {task: schemas_lt:takes_an_event, every: 1h}\n"
        "  waits:    {task: schemas_lt:waits, every: 1h}\n"
        "  number:   {task: schemas_lt:number, every: 1h}\n"
        "  mistaken: {task: schemas_lt:close_day, every: 1h, writes: [noets]}\n"
    )
    with pytest.raises(TopologyErrors) as caught:
        check_file(file, check_handler)
    told = [problem.partition("topology.yaml:")[2] for problem in caught.value.problems]
    begins = [
        '7: leader_tasks.missing.task: "schemas_lt:close_dya": schemas_lt.py has no name "close_dya"',
        "8: leader_tasks.nowhere.task: schemas_lt:close_day returns Day, which no topic of its `writes`",
        "9: leader_tasks.asks.task: schemas_lt:takes_an_event: parameter 'day' cannot be supplied",
        "10: leader_tasks.waits.task: schemas_lt:waits is async",
        '11: leader_tasks.number.task: "schemas_lt:number" is not a function but a value of type int',
        '12: leader_tasks.mistaken.writes.0: topic "noets" is not declared',
    ]
    assert len(told) == len(begins)
    for text, begin in zip(told, begins, strict=True):
        assert text.startswith(begin)

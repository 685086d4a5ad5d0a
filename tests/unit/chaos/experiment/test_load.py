"""Reading experiments: what a good one means, and what is said about a bad one."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.chaos.experiment import Experiment, Fault, Role, load, schedule
from holdfast.chaos.experiment.check import OF_THE_LAB
from holdfast.chaos.experiment.load import build
from holdfast.declaration.source import parse
from holdfast.errors import ExperimentErrors
from holdfast.local.settings import _addresses
from holdfast.local.spec import ClusterSpec, NodeSpec
from holdfast.topology import load as load_topology
from tests.support.experiments import EXPERIMENT

INVALID = Path(__file__).parent / "invalid"
READY = Path(__file__).parents[4] / "chaos"

GOOD = """\
name: everything
description: >
  Says all that can be said. And a second
  sentence.
cluster: {kind: embedded, brokers: 5, network: isolated, disk: small, broker_config: {log.cleaner.enable: no}}
workload:
  kind: sequence
  rate: 5000
  keys: 20000
  partitions: 12
  workers: 4
  standby: 2
  processor: {commit_interval: 50ms, session_timeout: 10s}
steady_state: {fresh_within: 2s, for: 20s}
time_limit: 5m
faults:
  - {at: 0s, fault: network.partition, target: minority, peers: clients, direction: to, for: 1500ms}
  - {at: 20s, fault: clock.jump, target: broker-5, offset: -90s, for: 10s, times: 2, every: 1m}
  - {at: 50s, fault: network.rate, target: leader of orders.v1/11, rate: 3mbit, for: 10s}
  - {at: 80s, fault: worker.rolling}
invariants:
  - exactly-once
  - {name: few-retries, sql: "SELECT * FROM history WHERE value < 0"}
  - {name: own, check: "checks.mine:holds"}
abort: {lag_above: 1_000_000, output_stale_for: 60s, disk_free_below: 2GiB}
"""

SHORT = """\
name: short
description: It works.
workload: {kind: bank}
time_limit: 60s
faults: [{at: 10s, fault: broker.kill, target: any, for: 5s}]
invariants: [conservation]
"""


def loaded(text: str) -> Experiment:
    """Read an experiment from its text."""
    return build(parse(text.encode(), Path("chaos/it.yaml")))


def problems(path: Path) -> list[str]:
    """Load a file that is wrong."""
    with pytest.raises(ExperimentErrors) as caught:
        load(path)
    return list(caught.value.problems)


@pytest.mark.parametrize("path", sorted(INVALID.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mistake_in_a_file_is_reported_with_its_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole report of each invalid file is the one that stands beside it."""
    monkeypatch.chdir(INVALID)
    expected = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    assert problems(Path(path.name)) == expected


def test_a_file_that_is_not_there_is_told_without_a_traceback() -> None:
    assert problems(Path("chaos/no-such.yaml")) == [
        "chaos/no-such.yaml: there is no such file; give its path, or work in the folder that holds it"
    ]


def test_a_full_file_becomes_values() -> None:
    """Durations are milliseconds, bandwidths bits per second, sizes bytes; targets are roles."""
    it = loaded(GOOD)
    assert (it.name, it.summary) == ("everything", "Says all that can be said.")
    assert it.description == "Says all that can be said. And a second sentence."
    assert (it.cluster.brokers, it.replication, it.cluster.broker_config) == (
        5,
        3,
        {"log.cleaner.enable": "false"},
    )
    assert (it.workload.rate, it.workload.standby, it.workload.processor.commit_interval_ms) == (5_000, 2, 50)
    assert (it.steady_state.fresh_within_ms, it.steady_state.for_ms) == (2_000, 20_000)
    assert (it.abort.lag_above, it.abort.output_stale_for_ms, it.abort.disk_free_below) == (
        1_000_000,
        60_000,
        2 * 1024**3,
    )
    cut, jump, narrow, rolling = it.time_line
    assert (cut.at_ms, cut.for_ms, cut.fault.target and cut.fault.target.role) == (0, 1_500, Role.MINORITY)
    assert cut.fault.parameters["direction"] == "to"
    assert str(cut.fault.parameters["peers"]) == "clients"
    assert (jump.starts(), jump.fault.parameters) == ((20_000, 80_000), {"offset": -90_000})
    leader = narrow.fault.target
    assert leader is not None
    assert (leader.role, leader.name, leader.number) == (Role.LEADER, "orders.v1", 11)
    assert narrow.fault.parameters["rate"] == 3_000_000
    assert (rolling.for_ms, str(rolling.fault.target), rolling.fault.parameters) == (
        None,
        "all",
        {"pause": 5_000},
    )
    assert it.invariants == ("exactly-once",)
    assert [own.name for own in it.own_invariants] == ["few-retries", "own"]


def test_what_is_not_said_has_the_documented_default() -> None:
    """Three embedded brokers, 2,000 events a second, Holdfast's engine."""
    it = loaded(SHORT)
    assert (it.cluster.kind, it.cluster.brokers, it.cluster.network) == ("embedded", 3, "plain")
    assert (it.workload.engine, it.workload.rate, it.workload.workers) == ("holdfast", 2_000, 3)
    assert (it.drain_ms, it.abort.lag_above, it.mix, it.choices) == (60_000, None, None, ())


def test_a_mistake_does_not_hide_those_in_other_parts() -> None:
    """What is right is checked across, beside what is wrong."""
    broken = SHORT.replace("time_limit: 60s", "time_limit: soon").replace("conservation", "no-cycles")
    with pytest.raises(ExperimentErrors) as caught:
        loaded(broken.replace("target: any", "target: broker-4"))
    said = "\n".join(caught.value.problems)
    assert "time_limit: expected a duration from 100ms to 1d, such as 10s (a whole number of ms, " in said
    assert "there is no broker-4" in said
    assert "it never evaluates for `bank`" in said


def test_a_cluster_of_yours_is_taken_when_it_is_marked_as_fair_game() -> None:
    """Workers and sinks can be broken on it, and no brokers."""
    external = "cluster: {kind: external, bootstrap_servers: 'a:9092,b:9092', fair_game: true}\n"
    it = loaded(external + SHORT.replace("broker.kill", "worker.kill"))
    assert it.cluster.bootstrap_servers == "a:9092,b:9092"


def test_faults_one_after_the_other_do_not_undo_each_other() -> None:
    """One that begins when another ends meets nobody; nor do two on different brokers."""
    text = SHORT.replace(
        "faults: [{at: 10s, fault: broker.kill, target: any, for: 5s}]",
        "faults:\n"
        "  - {at: 10s, fault: broker.kill, target: broker-1, for: 10s}\n"
        "  - {at: 20s, fault: broker.kill, target: broker-1, for: 10s}\n"
        "  - {at: 12s, fault: broker.freeze, target: broker-2, for: 10s}\n"
        "  - {at: 30s, fault: broker.restart, target: broker-1}",
    )
    assert len(loaded(text).time_line) == 4


@pytest.mark.parametrize(
    "fault",
    [
        "network.partition, target: broker-1, peers: broker-3",
        "network.partition, target: broker-1, peers: broker-2, direction: from",
        "network.delay, target: broker-1, peers: broker-2, delay: 1s",
    ],
)
def test_faults_of_links_add_up(fault: str) -> None:
    """Each has rules of its own; only what is cut already another one does not meet."""
    one = "network.partition, target: broker-1, peers: broker-2, direction: to"
    many = ("network.delay, target: broker-1, delay: 1s, for: 20s, times: 2, every: 5s",)
    lines = (f"{one}, for: 20s", f"{fault}, for: 20s", *many)
    listed = "".join(f"  - {{at: {number + 1}s, fault: {line}}}\n" for number, line in enumerate(lines))
    text = SHORT.replace(
        "faults: [{at: 10s, fault: broker.kill, target: any, for: 5s}]", f"faults:\n{listed}"
    )
    assert len(loaded(f"cluster: {{network: isolated}}\n{text}").time_line) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("at: 10s", "at: 55s"),
        *(("at: 10s", f"at: {zero}") for zero in ("0s", "0ms", "00s", "0 s", "0m", "0d")),
        ("target: any", "target: broker-3"),
        ("{kind: bank}", "{kind: bank, replication: 3, workers: 3, standby: 2}"),
        ("broker.kill, target: any", "worker.kill, target: worker-2"),
        ("broker.kill, target: any", "worker.kill, target: owner of shard 5"),
    ],
)
def test_what_just_fits_is_taken(before: str, after: str) -> None:
    """A fault that ends with the time limit; the last broker, worker and shard; a copy on each broker."""
    assert before in SHORT
    assert loaded(SHORT.replace(before, after)).time_line


def test_by_chance_a_control_without_transactions_has_the_same_faults_as_all_others() -> None:
    """The same seed is the same plan for each of them; what cannot be done is left out and counted."""
    text = SHORT.replace("{kind: bank}", "{kind: bank, engine: at-least-once}").replace(
        "faults: [{at: 10s, fault: broker.kill, target: any, for: 5s}]",
        "random: {for: {min: 1s, max: 2s}, choose: [{fault: broker.kill, target: transaction coordinator}]}",
    )
    assert len(loaded(text).choices) == 1


def test_brokers_are_counted_from_1() -> None:
    """As Kafka's own numbers of nodes; workers are counted from 0, as their slots."""
    with pytest.raises(
        ExperimentErrors, match="there is no broker-0: the cluster has 3 brokers, counted from 1"
    ):
        loaded(SHORT.replace("target: any", "target: broker-0"))


def test_a_day_of_faults_by_chance_is_not_too_many() -> None:
    text = SHORT.replace("time_limit: 60s", "time_limit: 1d").replace(
        "faults: [{at: 10s, fault: broker.kill, target: any, for: 5s}]",
        "random: {for: {min: 1s, max: 2s}, choose: [{fault: broker.kill, target: any}]}",
    )
    assert len(schedule(loaded(text), 0)) == 4_318


def test_many_faults_that_are_under_way_together_are_compared_by_their_lines() -> None:
    """Not each with each: six lines of them took a quarter of a minute."""
    line = "{at: 10s, fault: clock.jump, target: any, offset: 1h, for: 12h, times: 333, every: 100ms}"
    lines = "".join(f"  - {line}\n" for _ in range(6))
    text = SHORT.replace("time_limit: 60s", "time_limit: 1d").replace(
        "faults: [{at: 10s, fault: broker.kill, target: any, for: 5s}]", f"faults:\n{lines}"
    )
    asked = []

    def in_the_way(one: Fault, other: Fault, alone: Collection[Role]) -> bool:
        asked.append((one, other))
        return False

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("holdfast.chaos.experiment.overlap.in_the_way", in_the_way)
        loaded(text)
    assert len(asked) <= 6 * 6


READY_FILES = sorted(READY.glob("*.yaml"))


def test_a_dozen_experiments_are_ready() -> None:
    """And those that everybody asks for first are among them."""
    names = {path.stem for path in READY_FILES}
    assert len(names) >= 12
    assert {"leader-killed", "quorum-lost", "worker-frozen", "one-way-partition", "random-mix"} <= names


@pytest.mark.parametrize("path", READY_FILES, ids=lambda path: path.stem)
def test_each_ready_experiment_can_be_used(path: Path) -> None:
    """It has the name of its file, says in one line what it shows, and its topology is there."""
    it = load(path)
    assert it.name == path.stem
    assert len(it.summary) <= 90
    assert it.summary != it.description
    if it.workload.topology is not None:
        topology = load_topology(path.parent / it.workload.topology)
        sinks = {fault.target.name for fault in it.faults if fault.target and fault.target.role is Role.SINK}
        assert sinks <= set(topology.sinks)


def _places(data: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """All places in plain data."""
    if isinstance(data, dict):
        return [at, *(place for key in data for place in _places(data[key], (*at, key)))]
    if isinstance(data, list):
        return [at, *(place for index, item in enumerate(data) for place in _places(item, (*at, index)))]
    return [at]


def _put(data: Any, at: tuple[str | int, ...], value: Any) -> Any:
    """Plain data with another value at a place."""
    if not at:
        return value
    changed = dict(data) if isinstance(data, dict) else list(data)
    changed[at[0]] = _put(data[at[0]], at[1:], value)
    return changed


FILES = [yaml.safe_load(path.read_text()) for path in READY_FILES]
ANYTHING = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    st.sampled_from(
        ["1s", "10h", "any", "all", "majority", "broker-9", "raw", "application", "external", "isolated"]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_stands_anywhere_is_read_or_told_with_its_line(data: st.DataObject) -> None:
    """No value at any place of any ready experiment ends in a traceback."""
    good = data.draw(st.sampled_from(FILES))
    place = data.draw(st.sampled_from(_places(good)))
    text = yaml.safe_dump(_put(good, place, data.draw(ANYTHING)))
    assert all(line.startswith("it.yaml:") for line in _told(text))


def _told(text: str) -> tuple[str, ...]:
    """What is said about an experiment; nothing if it is read."""
    try:
        build(parse(text.encode(), Path("it.yaml")))
    except ExperimentErrors as error:
        return error.problems or ("refused without a reason",)
    return ()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("any, for: 5s", "worker-0, for: 5s, times: 3", "faults.0.every: missing"),
        ("fault: worker.kill", "fault: [worker.kill]", "faults.0.fault: expected the kind of fault"),
    ],
)
def test_one_mistake_is_told_once(tmp_path: Path, before: str, after: str, told: str) -> None:
    file = tmp_path / "x.yaml"
    assert before in EXPERIMENT
    file.write_text(EXPERIMENT.replace(before, after))
    with pytest.raises(ExperimentErrors) as caught:
        load(file)
    [problem] = caught.value.problems
    assert told in problem


@pytest.mark.parametrize(
    "query",
    [
        "-- none\n  SELECT 1",
        "/* none */ SELECT 1",
        "(SELECT 1) UNION (SELECT 2)",
        "(/* (- */ -- x\n(FROM steps))",
    ],
)
def test_a_query_may_begin_with_comments_and_brackets(query: str) -> None:
    own = f"[{{name: own, sql: {json.dumps(query)}}}]"
    assert loaded(SHORT.replace("[conservation]", own)).own_invariants[0].sql == query


def test_checks_are_not_blamed_for_an_invariant_whose_name_is_wrong() -> None:
    chosen = SHORT.replace("{kind: bank}", "{kind: application, topology: t.yaml, checks: ['a:b']}")
    [told] = _told(chosen.replace("[conservation]", "[application-check]"))
    assert "invariants.0: unknown invariant" in told


def test_no_property_that_says_where_an_embedded_broker_is_may_be_replaced(tmp_path: Path) -> None:
    node = NodeSpec(1, 2, 3)
    assert _addresses(ClusterSpec("c", (node,)), node, tmp_path).keys() <= OF_THE_LAB

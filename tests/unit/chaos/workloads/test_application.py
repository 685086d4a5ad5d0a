"""A whole application as a workload: its workers, its load, its outputs, and what does not fit it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from holdfast.chaos.experiment import Experiment, load
from holdfast.chaos.network.hosts import MOST, Hosts
from holdfast.chaos.run.labs import lab_settings
from holdfast.chaos.run.possible import require_possible
from holdfast.chaos.run.runner import Runner
from holdfast.chaos.run.settings import RunSettings, Untold
from holdfast.chaos.workloads.application import ApplicationWorkload
from holdfast.chaos.workloads.application_check import arguments_of
from holdfast.chaos.workloads.application_load import number_of, published, with_seed
from holdfast.chaos.workloads.application_parts import (
    groups_of,
    last_output,
    load_application,
    names_for_any,
    outputs_of,
    slots_of,
)
from holdfast.chaos.workloads.choice import worker_names
from holdfast.errors import ChaosError, ExperimentErrors, PublishError
from holdfast.kafka.partitioner import partition_of
from holdfast.topology import ResolvedTopology
from holdfast.topology import load as load_topology
from tests.support.talking import DECLARED, talking

ROOT = Path(__file__).parents[4]

ANY = "worker.kill, target: any"
FITTING = "arguments: {noise: {count: 2}}"

Make = Callable[..., ResolvedTopology]


@pytest.fixture
def application(tmp_path: Path) -> Make:
    """Give a function that makes the small application, with other sections if they are given."""
    return lambda **sections: load_application(talking(tmp_path, **sections))


def experiment(
    folder: Path, workload: str, fault: str = "worker.kill, target: any", **more: str
) -> Experiment:
    """An experiment on the application of a folder."""
    invariants = more.get("invariants", "[application-checks]")
    file = folder / "x.yaml"
    file.write_text(
        f"name: x\ndescription: x\nworkload: {{kind: application, topology: topology.yaml, {workload}}}\n"
        f"time_limit: 60s\nfaults: [{{at: 1s, fault: {fault}, for: 5s}}]\ninvariants: {invariants}\n"
        f"cluster: {{brokers: {more.get('brokers', '3')}}}\n"
    )
    return load(file)


def test_workers_are_counted_over_all_processors_and_candidates_are_beside_them(application: Make) -> None:
    topology = application().topology
    assert [(it.name, it.processor, it.slot) for it in slots_of(topology, 2)] == [
        ("worker-0", "first", "worker-0"),
        ("worker-1", "first", "worker-1"),
        ("worker-2", "second", "worker-0"),
        ("worker-3", "second", "worker-1"),
        ("candidate-0", "leader", "worker-0"),
        ("candidate-1", "leader", "worker-1"),
    ]
    without = application(leader_tasks=None).topology
    assert [it.name for it in slots_of(without, 1)] == ["worker-0", "worker-1"]


def test_the_isolated_network_has_a_host_for_each_of_them(application: Make, tmp_path: Path) -> None:
    resolved = application()
    isolated = experiment(tmp_path, FITTING, brokers="3, network: isolated")
    assert lab_settings(isolated, 0, resolved).workers == (
        "worker-0",
        "worker-1",
        "worker-2",
        "worker-3",
        "worker-4",
        "worker-5",
        "candidate-0",
        "candidate-1",
        "candidate-2",
    )
    assert worker_names(1, resolved) == ("worker-0", "worker-1", "candidate-0")


def test_a_network_has_room_for_the_workers_of_an_application_before_it_is_known(application: Make) -> None:
    """The brokers of a test session are there before a test says how many workers it has."""
    names = names_for_any(MOST, 16)
    assert len(Hosts((1, 2, 3), names).workers) == MOST
    resolved = application()
    assert {*worker_names(16, resolved)} <= {*names}


def test_each_group_knows_its_workers_by_their_instance_ids(application: Make) -> None:
    first, second, leader = groups_of(application().topology, 2)
    assert (first.group, first.label, first.source) == ("talk.first", "first", ("heard", 4))
    assert first.members == {"talk.first.worker-0": "worker-0", "talk.first.worker-1": "worker-1"}
    assert second.members == {"talk.second.worker-0": "worker-2", "talk.second.worker-1": "worker-3"}
    assert leader.members["talk.leader.worker-1"] == "candidate-1"
    assert leader.inputs == ()


def test_workers_of_faust_are_in_the_lag_and_not_among_the_owners() -> None:
    groups = {group.label: group for group in groups_of(load_application(ROOT / "topology.yaml").topology, 2)}
    assert groups["live-spending"].inputs == (("orders", 6),)
    assert groups["live-spending"].members == {}
    assert len(groups["order-saga"].inputs) == 3


def test_finished_has_to_be_what_exactly_once_processors_and_leader_tasks_write() -> None:
    topology = load_application(ROOT / "topology.yaml").topology
    found = outputs_of(topology)
    assert {"order-lines", "order-outcomes", "shop.inventory.stock.changelog", "shop.dead-letters"} <= set(
        found
    )
    assert "orders" not in found
    assert last_output(topology) == "order-outcomes"


def test_what_only_at_least_once_processors_write_may_have_no_transactions(application: Make) -> None:
    processors = {
        "first": {**DECLARED["processors"]["first"], "guarantee": "at-least-once"},
        "second": DECLARED["processors"]["second"],
    }
    assert outputs_of(application(processors=processors).topology) == (
        "noise",
        "talk.leader",
        "talk.dead-letters",
    )


def test_producers_take_turns_until_the_last_has_ended(application: Make) -> None:
    made = list(published(application(), {"talk": {"count": 3}, "noise": {"count": 1}}))
    assert [(it.topic, it.key, it.value) for it in made] == [
        ("heard", "1-0", 0),
        ("noise", None, 1),
        ("heard", "1-1", 2),
        ("heard", "1-0", 3),
    ]
    assert [it.partition for it in made if it.topic == "heard"] == [
        partition_of(key, 4) for key in (b"1-0", b"1-1", b"1-0")
    ]


def test_events_without_a_key_are_spread_over_all_partitions(application: Make) -> None:
    made = published(application(), {"talk": {"count": 0}, "noise": {"count": 4}})
    assert sorted(it.partition for it in made) == [0, 0, 1, 1]


def test_a_published_record_is_known_by_its_header(application: Make) -> None:
    class Record:
        def __init__(self, headers: Any) -> None:
            self._headers = headers

        def headers(self) -> Any:
            return self._headers

    *_, last = published(application(), {"talk": {"count": 2}, "noise": {"count": 0}})
    assert number_of(Record(last.record[2])) == 1  # type: ignore[arg-type]
    assert number_of(Record(None)) is None  # type: ignore[arg-type]


def test_a_producer_that_takes_a_seed_gets_that_of_the_run(application: Make) -> None:
    producers = application().producers
    assert with_seed(producers, {"noise": {"count": 1}}, 5) == {"talk": {"seed": 5}, "noise": {"count": 1}}
    assert with_seed(producers, {"talk": {"seed": 2}}, 5)["talk"] == {"seed": 2}


def test_what_a_producer_raises_is_told_with_its_line(application: Make) -> None:
    failing = application(producers={"fails": {"source": "MODULE:fails", "writes": ["heard"]}})
    with pytest.raises(PublishError, match=r"raised RuntimeError\('out of words'\) at .*talking_\d+\.py:\d+"):
        list(published(failing, {}))


def test_arguments_are_as_the_producers_annotations_say(application: Make, tmp_path: Path) -> None:
    resolved = application()
    given = experiment(tmp_path, 'arguments: {noise: {count: "2"}}')
    assert arguments_of(given, resolved) == {"noise": {"count": 2}}


@pytest.mark.parametrize(
    ("workload", "fault", "says"),
    [
        ("", ANY, "workload.arguments.noise: producer noise needs count, which has no default"),
        (
            "arguments: {noise: {cout: 2, count: 2}}",
            ANY,
            'workload.arguments.noise.cout: producer noise takes no argument "cout"; did you mean "count"?',
        ),
        ("arguments: {noise: {count: x}}", ANY, "arguments.noise.count: producer noise takes count: int;"),
        ("arguments: {nose: {}}", ANY, 'no producer is called "nose"; did you mean "noise"?'),
        (f"{FITTING}, checks: ['a:b']", ANY, 'declares no check "a:b" (declared: talking_'),
        (f"{FITTING}, output: heard", ANY, "workload.output: no processor writes to heard"),
        (
            f"{FITTING}, workers: 2",
            "worker.kill, target: worker-4",
            "no worker-4: 2 processors with 2 workers each are worker-0 to worker-3",
        ),
        (FITTING, "broker.kill, target: leader of nope/0", "there is no topic nope"),
        (FITTING, "broker.kill, target: leader of heard/99", "there is no partition 99 of"),
        (FITTING, "broker.kill, target: leader of __nope/0", "there is no topic __nope"),
        (
            FITTING,
            "broker.kill, target: leader of __consumer_offsets/999",
            "there is no partition 999 of __consumer_offsets",
        ),
        (FITTING, "worker.kill, target: owner of shard 4", "no shard 4: first, the first processor, has 4"),
    ],
)
def test_what_does_not_fit_the_application_is_told_before_anything_starts(
    application: Make, tmp_path: Path, workload: str, fault: str, says: str
) -> None:
    application()
    given = experiment(tmp_path, workload, fault)
    with pytest.raises(ExperimentErrors) as caught:
        require_possible(given)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "x.yaml:"))


@pytest.mark.parametrize("count", [1, 3])
def test_nobody_scales_all_processors_of_an_application_at_once(tmp_path: Path, count: int) -> None:
    with pytest.raises(ExperimentErrors) as caught:
        experiment(tmp_path, FITTING, f"worker.scale, to: {count}")
    [problem] = caught.value.problems
    assert "faults.0.fault: `worker.scale` is not for an application" in problem


@pytest.mark.parametrize(
    ("sections", "fault", "says"),
    [
        ({"leader_tasks": None}, "worker.kill, target: app leader", "nobody leads: .* no `leader_tasks`"),
        ({"checks": None}, ANY, "`application-checks` never evaluates: .*declares no `checks`"),
        ({"producers": None}, ANY, "declares no `producers`, so nothing would be offered"),
        ({"processors": None}, ANY, "declares no processor that Holdfast runs"),
    ],
)
def test_an_application_that_lacks_something_is_refused(
    application: Make, tmp_path: Path, sections: dict[str, Any], fault: str, says: str
) -> None:
    application(**sections)
    given = experiment(tmp_path, FITTING, fault)
    with pytest.raises(ExperimentErrors, match=says):
        require_possible(given)


def test_order_cannot_be_claimed_of_what_has_no_keys(application: Make, tmp_path: Path) -> None:
    """It would look at nothing, and hold."""
    application(producers={"noise": DECLARED["producers"]["noise"]})
    given = experiment(tmp_path, FITTING, invariants="[per-key-order]")
    with pytest.raises(ExperimentErrors, match=r"`per-key-order` never evaluates: no topic"):
        require_possible(given)


def test_that_transactions_are_finished_cannot_be_claimed_where_nothing_is_written_in_one(
    application: Make, tmp_path: Path
) -> None:
    """A whole run would end with a gate that was given no partitions."""
    once = {name: {**it, "guarantee": "at-least-once"} for name, it in DECLARED["processors"].items()}
    claims = "[application-checks, transactions-finished]"
    application(processors=once, leader_tasks=None)
    with pytest.raises(ExperimentErrors) as caught:
        require_possible(experiment(tmp_path, FITTING, invariants=claims))
    assert "invariants: `transactions-finished` never evaluates: " in str(caught.value)
    assert "has no processor with `guarantee: exactly-once` and no `leader_tasks`" in str(caught.value)
    require_possible(experiment(tmp_path, FITTING))


@pytest.mark.parametrize("who", ["a processor", "a leader task"])
def test_who_writes_in_transactions_can_be_asked_to_finish_them(
    application: Make, tmp_path: Path, who: str
) -> None:
    ours = DECLARED["processors"]
    once = {name: {**it, "guarantee": "at-least-once"} for name, it in ours.items()}
    one = {**once, "second": ours["second"]}
    application(
        **({"processors": once} if who == "a leader task" else {"processors": one, "leader_tasks": None})
    )
    require_possible(experiment(tmp_path, FITTING, invariants="[transactions-finished]"))


def test_an_application_whose_outputs_are_all_read_has_to_say_which_is_watched(
    application: Make, tmp_path: Path
) -> None:
    ends = {"handler": "MODULE:ends", "reads": ["told"]}
    application(processors={"first": DECLARED["processors"]["first"], "second": ends})
    with pytest.raises(ExperimentErrors, match=r"so say which output is watched \(written are: told\)"):
        require_possible(experiment(tmp_path, FITTING))
    require_possible(experiment(tmp_path, f"{FITTING}, output: told"))


def test_topics_with_more_copies_than_brokers_are_told_before_the_brokers_start(
    application: Make, tmp_path: Path
) -> None:
    application()
    with pytest.raises(
        ExperimentErrors, match="up to 3 copies, which need as many brokers; the cluster has 2"
    ):
        require_possible(experiment(tmp_path, FITTING, brokers="2"))


def test_an_isolated_network_has_not_room_for_any_number_of_workers(
    application: Make, tmp_path: Path
) -> None:
    application()
    given = experiment(tmp_path, f"{FITTING}, workers: 34", brokers="3, network: isolated")
    with pytest.raises(ExperimentErrors, match=r"workload\.workers: that makes 102 processes"):
        require_possible(given)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("there", ["nothing", "a folder", "a pipe"])
def test_a_topology_that_is_no_file_is_told_where_the_experiment_names_it(there: str, tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    if there == "a folder":
        file.mkdir()
    elif there == "a pipe":
        os.mkfifo(file)
    with pytest.raises(ExperimentErrors) as caught:
        require_possible(experiment(tmp_path, FITTING))
    [told] = caught.value.problems
    assert told.startswith(f"{tmp_path}/x.yaml:3: workload.topology: there is no file {file}; give its path")


def test_no_machine_is_asked_for_any_number_of_processes(application: Make, tmp_path: Path) -> None:
    """64 workers are 64 of each processor."""
    more = {f"ends-{number}": {"handler": "MODULE:ends", "reads": ["told"]} for number in range(3)}
    application(processors={**DECLARED["processors"], **more})
    with pytest.raises(
        ExperimentErrors, match=r"workers: that makes 384 processes .*, and a run has 256 at most"
    ):
        require_possible(experiment(tmp_path, f"{FITTING}, workers: 64, output: told"))


def test_a_worker_may_be_named_with_zeros_as_in_other_workloads(application: Make, tmp_path: Path) -> None:
    application()
    require_possible(experiment(tmp_path, f"{FITTING}, workers: 2", "worker.kill, target: worker-03"))


def test_what_fits_can_be_run(application: Make, tmp_path: Path) -> None:
    application()
    require_possible(experiment(tmp_path, FITTING, "worker.kill, target: app leader"))


def test_a_ready_experiment_breaks_what_an_application_asks() -> None:
    require_possible(load(ROOT / "chaos" / "gateway-down.yaml"))


def test_what_a_run_is_about_is_what_was_checked_whatever_becomes_of_its_file(
    application: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gates, hosts, load and checks have to be of one application."""
    file = application().topology.source.path
    given = experiment(tmp_path, FITTING)
    checked = require_possible(given)
    assert checked is not None
    file.write_text("app: another")
    seen: list[ResolvedTopology] = []

    class Stops(ApplicationWorkload):
        def __init__(self, resolved: ResolvedTopology, *_: object, **__: object) -> None:
            seen.append(resolved)
            raise ChaosError("that is all")

    monkeypatch.setattr("holdfast.chaos.workloads.choice.ApplicationWorkload", Stops)
    lab = SimpleNamespace(bootstrap_servers="127.0.0.1:1")
    settings = RunSettings(1, tmp_path / "run", "x", application=checked)
    with pytest.raises(ChaosError, match="that is all"):
        Runner(given, settings, Untold(), lab=lab).run()  # type: ignore[arg-type]
    assert seen == [checked]
    assert lab_settings(given, 1, checked).workers[-1] == "candidate-2"


def workload(resolved: ResolvedTopology, folder: Path, **options: Any) -> ApplicationWorkload:
    """The application in a run."""
    return ApplicationWorkload(resolved, folder, "127.0.0.1:1", workers=1, fresh_s=5.0, **options)


def test_workers_read_the_file_of_the_application(application: Make, tmp_path: Path) -> None:
    resolved = application()
    [first, *_] = workload(resolved, tmp_path / "run").specs(1).values()
    assert str(resolved.topology.source.path) in str(first.command(3))


@dataclass
class Doors:
    """Gates that stand before nothing."""

    keys: dict[str, dict[str, Any]]
    environment: dict[str, str]


def test_workers_are_led_to_gates_with_the_modules_where_they_were(tmp_path: Path) -> None:
    """Other addresses in a file of the run's own, and all else as it is."""
    resolved = load_application(ROOT / "topology.downstream.yaml")
    doors = Doors({"gateway": {"url": "http://127.0.0.1:9"}}, {"SECRET": "x"})
    made = workload(resolved, tmp_path / "run", output="order-outcomes", gates=doors)
    written = tmp_path / "run" / "topology.yaml"
    sinks = yaml.safe_load(written.read_text())["sinks"]
    assert sinks["gateway"] == {"type": "http", "url": "http://127.0.0.1:9"}
    assert sinks["history"] == {"type": "postgres", "dsn": "dbname=shop"}
    for spec in made.specs(1).values():
        # Faust's read no file of ours, and have no sinks.
        assert spec.processor == "live-spending" or str(written) in str(spec.command(3))
        assert spec.environment["PYTHONPATH"].split(":")[0] == str(ROOT)
        assert spec.environment["SECRET"] == "x"


def test_workers_led_to_gates_read_all_else_as_it_was_accepted(application: Make, tmp_path: Path) -> None:
    """Also what YAML alone takes for a date or for true, what JSON cannot say, and any letters."""
    resolved = application()
    talking(
        tmp_path,
        sinks={
            "gateway": {"type": "http", "url": "http://a/v1", "headers": {"on": "<date>", "Time": "1:30"}},
            "own": {
                "type": "custom",
                "sink": "MODULE:Own",
                "options": {"no": "<inf>", "x": [1e22, "\U0001f600"]},
            },
        },
    )
    file = tmp_path / "topology.yaml"
    text = file.read_text().replace('"<date>"', "2026-11-30").replace('"<inf>"', "[.inf, 2026-11-30]")
    file.write_text(text.replace('"on"', "on").replace('"no"', "no"))
    topology = load_topology(file)
    doors = Doors({"gateway": {"url": "http://127.0.0.1:9"}}, {})
    workload(replace(resolved, topology=topology), tmp_path / "run", output="told", gates=doors)
    read = load_topology(tmp_path / "run" / "topology.yaml").sinks
    sinks = topology.sinks
    assert sinks["gateway"].headers == {"on": "2026-11-30", "Time": "1:30"}  # type: ignore[union-attr]
    assert read["gateway"] == sinks["gateway"].model_copy(update={"url": "http://127.0.0.1:9"})
    assert read["own"] == sinks["own"]


def test_the_report_says_which_workers_are_of_which_processor(application: Make, tmp_path: Path) -> None:
    facts = workload(application(), tmp_path / "run", output="told").facts
    assert facts["output"] == "told"
    assert facts["workers of second"] == "worker-1"
    assert facts["workers of leader tasks"] == "candidate-0"

"""What the runner refuses, before anything is started."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.experiment import Experiment, load
from holdfast.chaos.run.freezes import freeze_problems
from holdfast.chaos.run.own import own_problems
from holdfast.chaos.run.possible import require_possible
from holdfast.chaos.workloads.topic_check import topic_problems
from holdfast.errors import ChaosError, ExperimentErrors, JavaProgramError
from holdfast.local.jars import older_releases

KILLED = "faults: [{at: 1s, fault: worker.kill, target: any, for: 5s}]"


def declared(
    folder: Path,
    workload: str,
    *,
    cluster: str = "",
    limit: str = "60s",
    faults: str = KILLED,
    invariants: str = "[exactly-once]",
) -> Experiment:
    """An experiment; what is said of a cluster stands in a line before the workload."""
    file = folder / "x.yaml"
    on = f"cluster: {cluster}\n" if cluster else ""
    file.write_text(
        f"name: x\ndescription: x\n{on}workload: {workload}\ntime_limit: {limit}\n{faults}\n"
        f"invariants: {invariants}\n"
    )
    return load(file)


def experiment(folder: Path, workload: str) -> Experiment:
    """An experiment on a workload."""
    return declared(folder, workload)


@pytest.mark.parametrize("engine", ["holdfast", "client", "at-least-once"])
@pytest.mark.parametrize("kind", ["sequence", "bank"])
def test_these_engines_can_be_run(tmp_path: Path, kind: str, engine: str) -> None:
    require_possible(experiment(tmp_path, f"{{kind: {kind}, engine: {engine}}}"))


@pytest.mark.parametrize(
    ("kind", "keys", "partitions", "without", "enough"),
    [("sequence", 1, 6, 5, 9), ("bank", 6, 6, 2, 15), ("sequence", 1000, 400, 29, 2505)],
)
def test_fewer_keys_than_reach_every_partition_are_refused_with_how_many_do(
    tmp_path: Path, kind: str, keys: int, partitions: int, without: int, enough: int
) -> None:
    """A partition without a key never shows an output, so no steady state would come."""
    workload = f"{{kind: {kind}, keys: %d, partitions: {partitions}}}"
    with pytest.raises(ExperimentErrors) as refused:
        require_possible(experiment(tmp_path, workload % keys))
    (told,) = refused.value.problems
    assert told.startswith(
        f"{tmp_path}/x.yaml:3: workload.keys: {without} of the {partitions} partitions get"
    )
    assert told.endswith(f"the steady state could not come; give {enough} keys or more")
    with pytest.raises(ExperimentErrors, match="1 of the"):
        require_possible(experiment(tmp_path, workload % (enough - 1)))
    require_possible(experiment(tmp_path, workload % enough))


@pytest.mark.parametrize("engine", ["faust", "faust-exactly-once"])
def test_faust_can_be_run_on_what_it_can_be_written_for(tmp_path: Path, engine: str) -> None:
    require_possible(experiment(tmp_path, f"{{kind: sequence, engine: {engine}}}"))
    with pytest.raises(ChaosError, match=rf"x\.yaml:3: workload\.engine: `{engine}` runs the workload `seq"):
        require_possible(experiment(tmp_path, f"{{kind: bank, engine: {engine}}}"))


@pytest.mark.parametrize("engine", ["holdfast", "faust"])
def test_a_process_that_uses_faust_can_run_experiments(tmp_path: Path, engine: str) -> None:
    importlib.import_module("faust")

    require_possible(experiment(tmp_path, f"{{kind: sequence, engine: {engine}}}"))


def test_only_the_engine_faust_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.chaos.run.possible.is_installed", lambda package: package != "faust")

    require_possible(experiment(tmp_path, "{kind: sequence, engine: holdfast}"))
    with pytest.raises(ChaosError, match="the engine `faust` needs faust-streaming"):
        require_possible(experiment(tmp_path, "{kind: sequence, engine: faust}"))


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where the program for Kafka Streams cannot be built."""

    def missing() -> list[str]:
        raise JavaProgramError("no JDK found")

    monkeypatch.setattr("holdfast.chaos.clients.streams.command", missing)


@pytest.mark.usefixtures("without_java")
def test_only_the_engine_kafka_streams_needs_java(tmp_path: Path) -> None:
    require_possible(experiment(tmp_path, "{kind: sequence, engine: client}"))
    with pytest.raises(ChaosError, match="the engine `kafka-streams` cannot work here: no JDK found"):
        require_possible(experiment(tmp_path, "{kind: sequence, engine: kafka-streams}"))


@pytest.mark.usefixtures("without_java")
def test_what_is_not_written_for_kafka_streams_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match="`kafka-streams` runs the workload `sequence` only"):
        require_possible(experiment(tmp_path, "{kind: bank, engine: kafka-streams}"))


def test_kafka_streams_can_be_run_where_its_program_can_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.chaos.clients.streams.command", lambda: ["java"])
    require_possible(experiment(tmp_path, "{kind: sequence, engine: kafka-streams, standby: 1}"))


def with_cluster(folder: Path, cluster: str, *faults: str) -> Experiment:
    """An experiment on a cluster, with faults."""
    lines = "\n".join(("faults:", *(f"  - {fault}" for fault in faults)))
    return declared(folder, "{kind: sequence}", cluster=cluster, limit="200s", faults=lines)


def claiming(folder: Path, *own: str) -> Experiment:
    """An experiment with invariants of its own."""
    lines = "".join(f"\n  - {one}" for one in ("exactly-once", *own))
    return declared(folder, "{kind: bank}", invariants=lines)


def freezing(folder: Path, workload: str, faults: str) -> Experiment:
    """An experiment that freezes workers."""
    return declared(folder, workload, limit="400s", faults=faults, invariants="[no-lost-writes]")


ON_A_TIME_LINE = "faults: [{at: 1s, fault: worker.freeze, target: any, for: 60s}]"
BY_CHANCE = """random:
  choose: [{fault: worker.kill, target: any}, {fault: worker.freeze, target: any}]
  for: {min: 5s, max: 90s}
  every: 100s"""


@pytest.mark.parametrize(
    ("faults", "place"),
    [(ON_A_TIME_LINE, "5: faults.0.for: 60s"), (BY_CHANCE, "7: random.for: up to 90s")],
)
def test_a_freeze_that_ends_in_a_kill_is_told_before_anything_starts(
    tmp_path: Path, faults: str, place: str
) -> None:
    """A worker of Holdfast that says nothing for a minute is started again by its supervisor."""
    with pytest.raises(ExperimentErrors, match=f"x.yaml:{place}: a worker of Holdfast .* silent for 60s"):
        require_possible(freezing(tmp_path, "{kind: sequence}", faults))


@pytest.mark.parametrize(
    ("workload", "faults"),
    [
        ("{kind: sequence}", ON_A_TIME_LINE.replace("60s", "59s")),
        ("{kind: sequence}", BY_CHANCE.replace("90s", "59s")),
        ("{kind: sequence}", BY_CHANCE.replace("worker.freeze", "worker.stop")),
        ("{kind: sequence}", ON_A_TIME_LINE.replace("worker.freeze", "broker.freeze")),
        ("{kind: sequence, engine: client}", ON_A_TIME_LINE),
        ("{kind: raw}", ON_A_TIME_LINE),
    ],
)
def test_whoever_is_not_taken_for_one_that_hangs_may_be_frozen_for_long(
    tmp_path: Path, workload: str, faults: str
) -> None:
    require_possible(freezing(tmp_path, workload, faults))


@pytest.mark.parametrize(("processors", "told"), [({"saga": 1}, 1), ({"saga": 1, "view": 2}, 0)])
def test_in_an_application_with_workers_of_faust_a_freeze_may_be_of_one_of_them(
    tmp_path: Path, processors: dict[str, int], told: int
) -> None:
    """Then its length is no mistake; if it did end in a kill, the fault itself tells that."""
    of_one = freezing(tmp_path, "{kind: application, topology: t.yaml}", ON_A_TIME_LINE)
    application: Any = SimpleNamespace(topology=SimpleNamespace(native={"saga": 1}, processors=processors))
    assert len(list(freeze_problems(of_one, application))) == told


MODULES = {
    "own_torn": "def holds(:\n",
    "own_raising": "\nraise RuntimeError('no such server')\n",
    "own_calls": "def none(): ...\ndef two(a, b): ...\nasync def later(a): ...\ndef each(a): yield a\n",
    "own_other": "async def all(a): yield a\n"
    "class Kind:\n    def __init__(self, a): ...\n    async def __call__(self, a): ...\nthing = Kind(1)\n",
    "own_good": "holds = 3\ndef right(database):\n    return None\n",
}


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ("check: own_torn:holds", 'importing "own_torn" fails at own_torn.py:1: SyntaxError'),
        (
            "check: own_raising:holds",
            'importing "own_raising" fails at own_raising.py:2: RuntimeError: no such',
        ),
        ("check: own_nowhere:holds", 'there is no module "own_nowhere" in '),
        ("check: own_good:rights", 'own_good.py has no name "rights"; did you mean "right"?'),
        ("check: own_good:holds", '"own_good:holds" is no function, but int'),
        ("check: own_calls:none", '"own_calls:none" is called with one argument, the database, and takes ()'),
        (
            "check: own_calls:two",
            '"own_calls:two" is called with one argument, the database, and takes (a, b)',
        ),
        (
            "check: own_calls:later",
            '"own_calls:later" has to return an `Evaluated`: write it without `async`',
        ),
        ("check: own_calls:each", '"own_calls:each" has to return an `Evaluated`: write it without `async`'),
        ("check: own_other:all", '"own_other:all" has to return an `Evaluated`: write it without `async`'),
        (
            "check: own_other:thing",
            '"own_other:thing" has to return an `Evaluated`: write it without `async`',
        ),
        ("check: own_other:Kind", '"own_other:Kind" is a class: name a function that returns an `Evaluated`'),
        (
            "check: builtins:print",
            '"builtins:print" is written in C, and returns no `Evaluated`: name a func',
        ),
        ("check: os:system", '"os:system" is written in C, and returns no `Evaluated`: name a function of'),
        (
            "sql: SELECT * FROM posting",
            "cannot be evaluated: Catalog Error: Table with name posting does not",
        ),
        ("sql: SELECT 1 WHERE false", "it looks at nothing: it names no table of the history"),
    ],
)
def test_an_own_invariant_that_can_never_be_evaluated_is_told_before_anything_starts(
    tmp_path: Path, own: str, told: str
) -> None:
    """And so is every other one: each has its line."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(ExperimentErrors) as caught:
        require_possible(claiming(tmp_path, f"{{name: one, {own}}}", "{name: two, check: own_none:holds}"))
    first, second = caught.value.problems
    assert told in first
    assert first.startswith(f"{tmp_path}/x.yaml:8: invariants.1")
    assert second.startswith(f"{tmp_path}/x.yaml:9: invariants.2.check: ")


def test_a_mistake_in_a_query_is_told_at_the_key_that_has_it(tmp_path: Path) -> None:
    one, two, three = (
        "{name: one,\n     sql: SELECT * FROM posting}",
        "{name: two, sql: SELECT 1 WHERE false,\n     over: postingz}",
        "{name: three, over: postings, sql: SELECT 1 FORM postings}",
    )
    with pytest.raises(ExperimentErrors) as caught:
        require_possible(claiming(tmp_path, one, two, three))
    places = [told.partition("x.yaml:")[2].split(": ")[0:2] for told in caught.value.problems]
    assert places == [["9", "invariants.1.sql"], ["11", "invariants.2.over"], ["12", "invariants.3.sql"]]


def test_own_invariants_that_can_be_evaluated_are_taken(tmp_path: Path) -> None:
    (tmp_path / "own_fine.py").write_text("def right(database):\n    return None\n")
    overdraft = "{name: no-overdraft, sql: SELECT * FROM postings WHERE balance < 0, over: postings}"
    require_possible(claiming(tmp_path, overdraft, "{name: two, check: own_fine:right}"))


@pytest.mark.parametrize(
    ("workload", "own", "told"),
    [
        (
            "sequence",
            "sql: SELECT * FROM postings WHERE balance < 0",
            "for `sequence`: `postings` has rows of `bank` only",
        ),
        ("raw", "sql: SELECT * FROM inputs", "for `raw`: `inputs` has rows of `bank` and `sequence` only"),
        ("raw", "{sql: SELECT 1 WHERE false, over: Outputs}", "for `raw`: `outputs` has rows of"),
        ("application", "sql: SELECT * FROM outputs", "for `application`: `outputs` has rows of"),
        ("sequence", "sql: SELECT * FROM inputs WHERE partition < 0", ""),
        ("raw", "sql: SELECT * FROM steps WHERE false", ""),
        ("sequence", "{sql: SELECT * FROM postings, over: operations}", ""),
    ],
)
def test_an_own_query_of_what_a_workload_never_fills_is_told_before_anything_starts(
    tmp_path: Path, workload: str, own: str, told: str
) -> None:
    """It would look at nothing, and end as a claim that does not hold."""
    topology = ", topology: t.yaml" if workload == "application" else ""
    claims = f"\n  - no-lost-writes\n  - {{name: own, {own.strip('{}')}}}"
    given = declared(tmp_path, f"{{kind: {workload}{topology}}}", invariants=claims)
    said = [problem.text for problem in own_problems(given)]
    assert len(said) == bool(told)
    assert told in "".join(said)


@pytest.mark.parametrize(
    ("workload", "fault", "told"),
    [
        (
            "sequence",
            "broker.kill, target: leader of stpes/0",
            'no topic stpes; did you mean "steps"? (known: steps, stepped, __consumer_offsets, __transaction',
        ),
        (
            "bank",
            "broker.kill, target: follower of credits/6",
            "target: there is no partition 6 of credits: it has 6, counted from 0",
        ),
        ("raw", "broker.kill, target: leader of steps/0", "there is no topic steps (known: logs, __consumer"),
        ("raw", "broker.kill, target: leader of ../0", "there is no topic .."),
        (
            "raw",
            "broker.kill, target: leader of __consumer_offsets/8",
            "no partition 8 of __consumer_offsets",
        ),
        (
            "sequence",
            "network.delay, target: leader of stepped/5, peers: leader of stepped/6, delay: 1s",
            "peers: there is no partition 6",
        ),
        (
            "sequence",
            "network.delay, target: leader of steps/0, peers: leader, delay: 1s",
            "peers: both ends are the same one: `leader` is that of steps/0",
        ),
        ("raw", "broker.kill, target: leader of logs/5", ""),
        ("bank", "broker.kill, target: leader of postings/5", ""),
        ("sequence", "broker.kill, target: leader of chaos.lab.walked.changelog/0", ""),
        ("sequence", "broker.kill, target: leader of __transaction_state/7", ""),
        ("sequence", "network.delay, target: leader of steps/1, peers: leader, delay: 1s", ""),
    ],
)
def test_a_partition_that_is_not_there_is_told_before_anything_starts(
    tmp_path: Path, workload: str, fault: str, told: str
) -> None:
    """Nobody would lead it when the fault begins."""
    given = declared(
        tmp_path,
        f"{{kind: {workload}}}",
        cluster="{network: isolated}",
        faults=f"faults: [{{at: 1s, fault: {fault}, for: 5s}}]",
        invariants="[no-lost-writes]",
    )
    try:
        require_possible(given)
    except ExperimentErrors as error:
        [problem] = error.problems
        assert problem.startswith(f"{given.source.path}:6: faults.0.")
        assert told
        assert told in problem
    else:
        assert not told


@pytest.mark.parametrize(("count", "told"), [("20", 0), ("8", 1), ("many", 0)])
def test_a_brokers_own_property_says_how_many_partitions_an_internal_topic_has(
    tmp_path: Path, count: str, told: int
) -> None:
    """One that is no number is for the broker to refuse."""
    cluster = f"{{broker_config: {{offsets.topic.num.partitions: {count}}}}}"
    fault = "{at: 1s, fault: broker.kill, target: leader of __consumer_offsets/19, for: 5s}"
    assert len(list(topic_problems(with_cluster(tmp_path, cluster, fault)))) == told


def test_a_cluster_of_others_can_be_run_on(tmp_path: Path) -> None:
    theirs = "{kind: external, bootstrap_servers: 'a:9092', fair_game: true}"
    require_possible(with_cluster(tmp_path, theirs, "{at: 1s, fault: worker.kill, target: any, for: 5s}"))


def test_an_application_is_not_run_where_others_may_have_its_topics(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "name: x\ndescription: x\ncluster: {kind: external, bootstrap_servers: 'a:9092', fair_game: true}\n"
        "workload: {kind: application, topology: t.yaml}\ntime_limit: 60s\n"
        "faults: [{at: 1s, fault: worker.kill, target: any, for: 5s}]\ninvariants: [application-checks]\n"
    )
    with pytest.raises(ChaosError, match=r"x\.yaml:4: workload\.kind: an `application` has the names"):
        require_possible(load(file))


def test_an_upgrade_is_one_from_a_release_that_is_pinned(tmp_path: Path) -> None:
    older = older_releases()[-1]
    rolling = "{{at: {at}, fault: broker.rolling, upgrade_from: {release}}}"
    good, bad = rolling.format(at="1s", release=older), rolling.format(at="60s", release="3.9.1")
    require_possible(with_cluster(tmp_path, "{brokers: 3}", good))
    with pytest.raises(
        ExperimentErrors,
        match=rf"x\.yaml:7: faults\.0\.upgrade_from: .* no upgrade from Kafka 3\.9\.1, only from .*{older}",
    ):
        require_possible(with_cluster(tmp_path, "{brokers: 3}", bad))


def test_the_release_that_a_message_gives_as_an_example_can_be_upgraded_from(tmp_path: Path) -> None:
    with pytest.raises(ExperimentErrors) as caught:
        with_cluster(tmp_path, "{}", "{at: 1s, fault: broker.rolling, upgrade_from: 4.2}")
    example = str(caught.value).partition("such as ")[2].partition(",")[0]
    assert example in older_releases()


def upgrades(*more: str) -> list[str]:
    """Upgrades from a release that is pinned, one a minute."""
    release = older_releases()[-1]
    return [
        f"{{at: {1 + 60 * number}s, fault: broker.rolling, upgrade_from: {release}, {each}}}"
        for number, each in enumerate(more)
    ]


def test_brokers_may_be_upgraded_one_by_one(tmp_path: Path) -> None:
    require_possible(
        with_cluster(tmp_path, "{brokers: 3}", *upgrades("target: broker-1", "target: broker-2"))
    )

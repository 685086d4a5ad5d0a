"""How the workers of controls are started, and what the brokers know them by."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from faust.transport.consumer import TopicPartitionGroup, TransactionManager

from holdfast.chaos.clients import streams
from holdfast.chaos.clients.loop.orders import (
    AT_LEAST_ONCE,
    FAUST,
    FAUST_EXACTLY_ONCE,
    ORDERS_VARIABLE,
    LoopOrders,
)
from holdfast.chaos.clients.streams import KAFKA_STREAMS, StreamsOrders
from holdfast.chaos.workloads.plans import SEQUENCE
from holdfast.chaos.workloads.processed import ProcessedWorkload
from holdfast.chaos.workloads.sequence_app import Step, Stepped, Walked

JAVA = Path(streams.__file__).with_name("kafka_streams") / "src" / "main" / "java" / "lab"
OPTIONS = {"commit_interval": "200ms", "session_timeout": "7s", "standby": 1}


@pytest.fixture
def workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that makes the workload `sequence` for an engine; nothing is built."""
    monkeypatch.setattr(streams, "command", lambda: ["java", "lab.Main"])

    def make(engine: str) -> ProcessedWorkload:
        return ProcessedWorkload(
            SEQUENCE,
            tmp_path,
            "b:1",
            partitions=4,
            replication=3,
            options=OPTIONS,
            engine=engine,
            prefix="r1-",
        )

    return make


def fields_in_java(file: str, record: str) -> list[str]:
    """The fields of a Java record, as Python writes them."""
    text = (JAVA / file).read_text()
    match = re.search(rf"record {record}\(([^)]*)\)", text)
    assert match is not None
    names = [part.split()[-1] for part in match[1].split(",")]
    return [re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", name) for name in names]


def test_a_kafka_streams_worker_is_the_program_itself_with_its_orders(workload: Any, tmp_path: Path) -> None:
    spec = workload(KAFKA_STREAMS).specs(2)["worker-1"]
    *program, orders = spec.command(7)
    assert program == ["java", "lab.Main"]
    state = tmp_path / "home" / "state" / "worker-1"
    assert json.loads(orders) == {
        "servers": "b:1",
        "worker": "worker-1",
        "application": "r1-chaos.lab",
        "instance": "r1-chaos.lab.worker-1",
        "input": "r1-steps",
        "input_type": "Step.v1",
        "output": "r1-stepped",
        "output_type": "Stepped.v1",
        "replication": 3,
        "standby": 1,
        "commit_interval_ms": 200,
        "session_timeout_ms": 7_000,
        "state_folder": str(state),
        "status": 7,
    }
    assert Path(spec.environment["ROCKSDB_SHAREDLIB_DIR"]).is_relative_to(state)


def test_the_group_of_kafka_streams_is_its_application(workload: Any) -> None:
    made = workload(KAFKA_STREAMS)
    orders = json.loads(made.specs(1)["worker-0"].command(1)[-1])
    assert made.group == orders["application"]
    [group] = made.groups(1)
    assert [*group.members] == ["r1-chaos.lab.worker-0-1", "r1-chaos.lab.worker-0-2"]


def test_its_transactional_id_is_that_of_the_process_that_began_in_its_folder(
    workload: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "state" / "worker-0" / "r1-chaos.lab"
    folder.mkdir(parents=True)
    (folder / "kafka-streams-process-metadata").write_text('{"processId":"4742a010-dd77","version":1}')
    assert workload(KAFKA_STREAMS).transactional_id == "r1-chaos.lab-4742a010-dd77-1"


@pytest.mark.parametrize("engine", ["holdfast", AT_LEAST_ONCE])
def test_other_workers_have_one_id_for_both(workload: Any, engine: str) -> None:
    made = workload(engine)
    [group] = made.groups(1)
    assert [*group.members] == [made.transactional_id] == ["r1-chaos.lab.worker-0"]


def test_the_transactional_id_of_faust_is_that_of_a_partition(workload: Any) -> None:
    """As Faust makes it; the worker's own name would be that of another coordinator."""
    made = workload(FAUST_EXACTLY_ONCE)
    first = TopicPartitionGroup("r1-steps", 0, 0)
    as_faust = TransactionManager.transactional_id_format.format(group_id=made.group, tpg=first)
    assert made.transactional_id == as_faust == "r1-chaos.lab-0-0"


def test_the_program_knows_all_of_its_orders() -> None:
    assert fields_in_java("Orders.java", "Orders") == [field.name for field in fields(StreamsOrders)]


@pytest.mark.parametrize(("record", "model"), [("Step", Step), ("Walked", Walked), ("Stepped", Stepped)])
def test_the_program_has_the_events_and_the_state_of_the_workload(record: str, model: Any) -> None:
    assert fields_in_java("Sequence.java", record) == [*model.model_fields]


def test_a_loop_and_faust_get_the_same_orders(workload: Any) -> None:
    loop = LoopOrders.from_json(workload(AT_LEAST_ONCE).specs(1)["worker-0"].command(3)[-1])
    faust = LoopOrders.from_json(workload(FAUST).specs(1)["worker-0"].environment[ORDERS_VARIABLE])
    assert (loop.engine, loop.status) == (AT_LEAST_ONCE, 3)
    assert (faust.engine, faust.status) == (FAUST, None)
    assert loop.inputs == faust.inputs
    assert loop.group == faust.group


@pytest.mark.parametrize(
    ("engine", "changelog"),
    [
        ("holdfast", "r1-chaos.lab.walked.changelog"),
        ("client", "r1-chaos.lab.walked.changelog"),
        (KAFKA_STREAMS, "r1-chaos.lab-walked-changelog"),
        (FAUST_EXACTLY_ONCE, "r1-chaos.lab-states-changelog"),
    ],
)
def test_what_transactions_write_is_the_outputs_and_the_changes_of_the_state(
    workload: Any, engine: str, changelog: str
) -> None:
    """One that hangs in the changelog alone holds up whoever gets the shard next."""
    assert workload(engine).outputs == ("r1-stepped", changelog)


def test_the_store_is_called_in_java_as_here() -> None:
    assert f'STORE = "{streams.STORE}"' in (JAVA / "Sequence.java").read_text()

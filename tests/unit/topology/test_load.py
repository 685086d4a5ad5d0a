"""Reading topology files: what a good one means, and what is said about a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.declaration.source import parse
from holdfast.errors import TopologyErrors
from holdfast.topology import Topology, load
from holdfast.topology.load import build

INVALID = Path(__file__).parent / "invalid"

GOOD = """\
app: shop
kafka: {bootstrap.servers: "broker:9092", socket.keepalive.enable: true}
topics:
  orders:
    events: [schemas:OrderPlaced, schemas:OrderCancelled]
    key: customer_id
    partitions: 12
    replication: 5
    config: {retention.ms: 604800000, unclean.leader.election.enable: no, min.cleanable.dirty.ratio: 0.5}
    cloudevents: true
  spending: {event: schemas:SpendingChanged, partitions: 12}
processors:
  customer-spending:
    handler: processors:spending
    reads: [orders]
    tables: {spending: schemas:Spending, orders: int}
    writes: [spending]
    start: latest
    commit_interval: 2s
    session_timeout: 1m
  live:
    runtime: faust
    agent: processors:app
    reads: [orders]
producers:
  orders: {source: producers:generate, writes: [orders]}
checks: [processors:conserved]
"""


def problems(path: Path) -> list[str]:
    """Load a file that is wrong."""
    with pytest.raises(TopologyErrors) as caught:
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


def test_a_full_file_becomes_values(tmp_path: Path) -> None:
    """Durations are milliseconds, settings are Kafka's texts, lists are tuples."""
    path = tmp_path / "topology.yaml"
    path.write_text(GOOD)
    topology = load(path)
    orders = topology.topic("orders")
    assert orders.events == ("schemas:OrderPlaced", "schemas:OrderCancelled")
    assert (orders.key, orders.partitions, orders.replication, orders.cloudevents) == (
        "customer_id",
        12,
        5,
        True,
    )
    assert orders.config == {
        "retention.ms": "604800000",
        "unclean.leader.election.enable": "false",
        "min.cleanable.dirty.ratio": "0.5",
    }
    assert topology.kafka == {"bootstrap.servers": "broker:9092", "socket.keepalive.enable": "true"}
    processor = topology.native["customer-spending"]
    assert (processor.start, processor.commit_interval_ms, processor.session_timeout_ms) == (
        "latest",
        2_000,
        60_000,
    )
    assert topology.processor("live").runtime == "faust"
    assert topology.producer("orders").writes == ("orders",)
    assert topology.checks == ("processors:conserved",)
    assert topology.folder == tmp_path


def test_what_is_not_said_has_the_documented_default(tmp_path: Path) -> None:
    """A short file gets the safe choices."""
    path = tmp_path / "topology.yaml"
    path.write_text(GOOD)
    topology = load(path)
    spending = topology.topic("spending")
    assert (spending.events, spending.key, spending.replication) == (("schemas:SpendingChanged",), None, 3)
    path.write_text(
        "app: shop\n"
        "topics: {orders: {event: a:B, partitions: 1}}\n"
        "processors: {p: {handler: a:b, reads: [orders]}}\n"
    )
    processor = load(path).native["p"]
    assert processor.model_dump(include={"workers", "start", "guarantee", "on_error", "on_bad_record"}) == {
        "workers": 1,
        "start": "earliest",
        "guarantee": "exactly-once",
        "on_error": "stop",
        "on_bad_record": "dead-letter",
    }
    assert (processor.commit_interval_ms, processor.session_timeout_ms, processor.cache_entries) == (
        100,
        6_000,
        50_000,
    )


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    """The text fits the command line and Python."""
    path = tmp_path / "topology.yaml"
    assert problems(path) == [
        f"{path}: there is no such file; give its path, or work in the folder that holds it"
    ]


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    """The reason is the operating system's."""
    assert problems(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_nesting_without_end_is_told() -> None:
    """A file that would exhaust the stack is one problem."""
    draft = build(parse(b"[" * 100_000, Path("topology.yaml")))
    assert [problem.text for problem in draft.problems] == ["not usable: nested too deeply"]


def test_numbers_that_python_refuses_to_write_are_told() -> None:
    """A whole number of five thousand digits does not end the report."""
    text = f"app: shop\ntopics: {{orders: {{event: a:B, partitions: {'9' * 5_000}}}}}\n"
    draft = build(parse(text.encode(), Path("topology.yaml")))
    assert len(draft.problems) == 1
    assert draft.problems[0].at == ("topics", "orders", "partitions")


def test_a_password_is_not_part_of_any_text(tmp_path: Path) -> None:
    """Neither the report of a mistake nor the value's own text shows it."""
    path = tmp_path / "topology.yaml"
    path.write_text(
        "app: shop\nkafka: {sasl.password: hunter2}\ntopics: {orders: {event: a:B, partitions: 1}}\n"
    )
    assert "hunter2" not in repr(load(path))
    path.write_text("app: shop\nkafka: {sasl.password: [hunter2]}\n")
    assert "hunter2" not in "".join(problems(path))


SECTION_KEYS = (
    "app",
    "kafka",
    "topics",
    "processors",
    "producers",
    "checks",
    "leader_tasks",
    "sinks",
    "<name>",
    "<app>",
)
TOPIC_KEYS = ("event", "events", "key", "partitions", "replication", "config", "orders", "a:B")
PROCESSOR_KEYS = (
    "reads",
    "writes",
    "tables",
    "handler",
    "runtime",
    "faust",
    "agent",
    "source",
    "every",
    "cron",
    "sink",
    "type",
    "postgres",
    "parquet",
    "custom",
    "dsn",
    "breaker",
    "history",
)
KEYS = st.sampled_from((*SECTION_KEYS, *TOPIC_KEYS, *PROCESSOR_KEYS))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | KEYS | st.dates()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | SCALARS, inner, max_size=4),
    max_leaves=25,
)
NEAR_MISSES = st.fixed_dictionaries(
    {
        "app": st.just("shop"),
        "topics": st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=5), max_size=3),
    },
    optional=dict.fromkeys(("processors", "producers", "kafka", "checks", "leader_tasks", "sinks"), VALUES),
)


def read_anything(content: bytes) -> None:
    """Build a draft; either there is a topology or at least one problem, and each can be worded."""
    draft = build(parse(content, Path("topology.yaml")))
    assert draft.problems or isinstance(draft.topology, Topology)
    for line in draft.source.report(draft.problems):
        assert line.startswith("topology.yaml:")
        assert line.isprintable()


@settings(deadline=None)
@given(VALUES | NEAR_MISSES)
def test_any_data_is_read_or_reported(data: object) -> None:
    """No YAML data makes the loader raise anything of its own."""
    read_anything(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(st.text() | st.text(alphabet="aA0 \n:-[]{}&*!#?|>'\"%@,<.\t"))
def test_any_text_is_read_or_reported(text: str) -> None:
    """No text makes the loader raise anything of its own."""
    read_anything(text.encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_reported(content: bytes) -> None:
    """No bytes make the loader raise anything of its own."""
    read_anything(content)

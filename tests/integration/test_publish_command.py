"""`holdfast publish` as users run it: a process, a file or a pipe, real brokers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.settings import admin_config
from holdfast.topology import TopicSpec

pytestmark = pytest.mark.integration

EVENTS = """
    from datetime import datetime
    from decimal import Decimal
    from holdfast.schema import Event

    class OrderPlaced(Event, version=2):
        order_id: str
        customer_id: str
        amount: Decimal
        quantity: int = 1
        at: datetime | None = None

    @OrderPlaced.upcast(from_version=1)
    def _(old):
        return {**old, "amount": old["price"]}

    class OrderCancelled(Event):
        order_id: str
        customer_id: str
"""

TOPOLOGY = """
    app: shop
    topics:
      {topic}: {{event: "events:OrderPlaced", key: customer_id, partitions: 1}}
      {topic}.both:
        {{events: ["events:OrderPlaced", "events:OrderCancelled"], key: customer_id, partitions: 1}}
"""

GOOD = b'{"order_id":"o-%d","customer_id":"c-%d","amount":"1.50"}\n'

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def app(tmp_path: Path, topic_name: str) -> Path:
    """Write an application with a topic called like `topic_name`, and one more with two events."""
    (tmp_path / "events.py").write_text(textwrap.dedent(EVENTS))
    (tmp_path / "topology.yaml").write_text(textwrap.dedent(TOPOLOGY.format(topic=topic_name)))
    return tmp_path


@pytest.fixture
def topic(cluster: Any, topic_name: str) -> Iterator[str]:
    """Create the application's topics; they are deleted afterwards."""
    names = [topic_name, f"{topic_name}.both"]
    # It waits until every broker knows them, so that `count` may ask any.
    TopicAdmin(cluster.bootstrap_servers).create([TopicSpec(name, 1, 3, {}) for name in names])
    yield topic_name
    admin = AdminClient(admin_config(cluster.bootstrap_servers))
    for deleted in admin.delete_topics(names).values():
        deleted.exception(30)


@pytest.fixture
def start(cluster: Any, app: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Give a function that starts `holdfast publish` in the application's folder."""

    def started(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "HOLDFAST_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
            "COLUMNS": "200",
        }
        command = [sys.executable, "-m", "holdfast", "publish", *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=app, env=environment, **{**pipes, **options})

    return started


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[bytes]]) -> Run:
    """Give a function that runs `holdfast publish` to its end."""

    def ran(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[str]:
        with start(*arguments) as process:
            out, err = process.communicate(data, timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), err.decode())

    return ran


def count(servers: str, topic: str) -> int:
    """Return how many records a topic with one partition holds."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "counter"})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    consumer.close()
    return int(high - low)


def values(servers: str, topic: str) -> list[dict[str, Any]]:
    """Return the decoded JSON of all records of a topic with one partition."""
    wanted, found = count(servers, topic), []
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    deadline = time.monotonic() + 30
    while len(found) < wanted:
        assert time.monotonic() < deadline
        found += [json.loads(message.value()) for message in consumer.consume(1000, 0.5)]
    consumer.close()
    return found


def test_json_lines_are_published_and_counted(cluster: Any, app: Path, topic: str, run: Run) -> None:
    """The result goes to standard output; nothing else does."""
    (app / "in.jsonl").write_bytes(b"".join(GOOD % (n, n % 3) for n in range(1000)))
    done = run(topic, "--from", "in.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"published 1,000 events to {topic} in ")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    assert count(cluster.bootstrap_servers, topic) == 1000


def test_csv_is_published_with_the_fields_types(cluster: Any, app: Path, topic: str, run: Run) -> None:
    """The suffix tells the format; an empty cell takes the field's default."""
    (app / "in.csv").write_bytes(
        b'order_id,customer_id,amount,quantity,at,note\n1,"c, 1",1.50,,2026-01-02T03:04:05Z,x\n2,c-2,3,4,,\n'
    )
    done = run(topic, "--from", "in.csv")
    assert done.returncode == 0, done.stderr
    assert "ignored columns: note (no field of OrderPlaced)" in done.stderr
    first, second = values(cluster.bootstrap_servers, topic)
    assert first == {
        "order_id": "1",
        "customer_id": "c, 1",
        "amount": "1.50",
        "quantity": 1,
        "at": "2026-01-02T03:04:05Z",
    }
    assert second["quantity"] == 4


def test_refused_lines_are_reported_and_stop_nothing(cluster: Any, app: Path, topic: str, run: Run) -> None:
    """Not JSON, wrong fields, wrong encoding, too large: exit code 4, all of them in the file."""
    bad = [b"nope\n", b'{"order_id":"1"}\n', b"\xff\xfe\n"]
    large = b'{"order_id":"' + b"x" * 2_000_000 + b'","customer_id":"c","amount":1}\n'
    endless = b'{"order_id":"' + b"x" * 9_000_000 + b'"}\n'
    lines = [GOOD % (1, 1), *bad, large, endless, GOOD % (2, 2)]
    (app / "in.jsonl").write_bytes(b"".join(lines))
    done = run(topic, "--from", "in.jsonl", "--refused", "refused.jsonl")
    assert done.returncode == 4
    assert f"published 2 events to {topic}" in done.stdout
    assert "5 lines refused" in done.stdout
    assert "line 2 refused: the value (4 bytes) is not JSON" in done.stderr
    assert "line 3 refused: the JSON is no OrderPlaced: customer_id: Field required" in done.stderr
    assert "bytes are more than the limit of 1048588" in done.stderr
    refused = [json.loads(line) for line in (app / "refused.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in refused] == [2, 3, 4, 5, 6]
    assert refused[0]["text"] == "nope"
    assert count(cluster.bootstrap_servers, topic) == 2


def test_only_the_first_refused_lines_are_shown(app: Path, topic: str, run: Run) -> None:
    """A wrong file does not flood the terminal, but is counted to its end."""
    (app / "in.jsonl").write_bytes(b"nope\n" * 1000)
    done = run(topic, "--from", "in.jsonl")
    assert done.returncode == 4
    assert "1,000 lines refused" in done.stdout
    assert len(done.stderr.splitlines()) == 21
    assert "--refused FILE" in done.stderr.splitlines()[-1]


def test_strict_stops_at_the_first_refused_line(cluster: Any, app: Path, topic: str, run: Run) -> None:
    """What was read before it is published."""
    (app / "in.jsonl").write_bytes(GOOD % (1, 1) + b"nope\n" + GOOD % (2, 2))
    done = run(topic, "--from", "in.jsonl", "--strict")
    assert done.returncode == 4
    assert count(cluster.bootstrap_servers, topic) == 1


def test_standard_input_limit_and_rate(cluster: Any, topic: str, run: Run) -> None:
    """300 events at 200/s take 1.5 s, less the first one's wait."""
    data = b"".join(GOOD % (n, n) for n in range(1000))
    started = time.monotonic()
    done = run(topic, "--from", "-", "--limit", "300", "--rate", "200/s", data=data)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started > 1.4
    assert count(cluster.bootstrap_servers, topic) == 300


def test_a_topic_with_several_events_needs_the_type(cluster: Any, topic: str, run: Run) -> None:
    """The error names the choices; with one of them it works."""
    data = b'{"order_id":"1","customer_id":"c"}\n'
    asked = run(f"{topic}.both", "--from", "-", data=data)
    assert asked.returncode == 2
    assert "--type OrderPlaced or OrderCancelled" in asked.stderr
    done = run(f"{topic}.both", "--from", "-", "--type", "OrderCancelled", data=data)
    assert done.returncode == 0, done.stderr
    assert values(cluster.bootstrap_servers, f"{topic}.both") == [{"order_id": "1", "customer_id": "c"}]


def test_old_json_is_published_in_the_current_version(cluster: Any, topic: str, run: Run) -> None:
    """--type Name.v1 reads through the upcasters."""
    data = b'{"order_id":"1","customer_id":"c","price":"2.50"}\n'
    done = run(topic, "--from", "-", "--type", "OrderPlaced.v1", data=data)
    assert done.returncode == 0, done.stderr
    assert values(cluster.bootstrap_servers, topic)[0]["amount"] == "2.50"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--from", "missing.jsonl"], "missing.jsonl cannot be read"),
        (["--from", "."], "cannot be read"),
        (["--from", "-", "--rate", "fast"], "is no rate"),
        (["--from", "-", "--type", "Unknown"], "has no event Unknown"),
        (["--from", "-", "--type", "OrderPlaced.v3"], "versions 1 to 2, not 3"),
        (["--from", "-", "--format", "csv", "--type", "OrderPlaced.v1"], "always read as the current one"),
        ([], "--from"),
    ],
)
def test_wrong_usage_is_told_without_a_traceback(
    topic: str, run: Run, arguments: list[str], text: str
) -> None:
    """Exit code 2, as for all usage errors."""
    done = run(topic, *arguments)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["{topic}.both", "nothing"])
def test_a_topic_that_is_not_there_is_told_before_reading(
    cluster: Any, topic_name: str, run: Run, name: str
) -> None:
    """Declared but not on the cluster, or not declared at all."""
    done = run(name.format(topic=topic_name), "--from", "-", "--type", "OrderPlaced")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "holdfast apply" in done.stderr or "not declared" in done.stderr


def test_no_broker_is_told_within_ten_seconds(topic_name: str, run: Run) -> None:
    """One message that names the address, and no traceback or client noise."""
    started = time.monotonic()
    done = run(topic_name, "--from", "-", "--bootstrap-servers", "127.0.0.1:1")
    assert time.monotonic() - started < 10
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    assert "rdkafka#" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_flushes_and_reports(
    cluster: Any, topic: str, start: Callable[..., subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    """Exactly the events that it says were published are in the topic."""
    with start(topic, "--from", "-") as process:
        assert process.stdin is not None
        process.stdin.write(b"".join(GOOD % (n, n) for n in range(100)))
        process.stdin.flush()
        deadline = time.monotonic() + 30
        while count(cluster.bootstrap_servers, topic) == 0:
            assert time.monotonic() < deadline
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err
    published = count(cluster.bootstrap_servers, topic)
    assert f"published {published} events" in out.decode()

"""Records of every kind through real brokers: good, bad, too large, deletions; handlers that raise."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer as Client

from holdfast import Tombstone
from holdfast.engine.dead_letter import PREFIX
from holdfast.runtime.supervisor import WorkerState
from tests.support.application import Application, Run
from tests.support.events import Added, Folded, Taken
from tests.support.fold import assert_exactly_once

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
Make = Callable[..., Application]

RAISES = """
from holdfast import Context, State, processor
from test_events import Added, Folded, Sum

@processor
def handle(event: Added, sums: State[Sum], at: Context) -> Folded:
    before = sums.get() or Sum()
    now = Sum(count=before.count + 1, total=before.total + event.n)
    sums.set(now)
    if event.text == "poison":
        raise ValueError("cannot take poison")
    return Folded(key=event.key, topic=at.topic, partition=at.partition, offset=at.offset,
                  n=event.n, count=now.count, total=now.total)
"""

MANY = """
from collections.abc import Iterator
from holdfast import State, Tombstone, processor
from test_events import Added, Sum, Taken

@processor
def handle(event: Added | Taken | Tombstone, sums: State[Sum]) -> Iterator[Added | Taken | Tombstone]:
    if isinstance(event, Tombstone):
        sums.delete()
        yield Tombstone(Added, event.key.decode())
        return
    now = Sum(count=(sums.get() or Sum()).count + 1)
    sums.set(now)
    for i in range(event.n):
        yield Added(key=event.key, n=now.count)
    if isinstance(event, Taken):
        yield event
"""

LARGE = """
from holdfast import State, processor
from test_events import Added

@processor
def handle(event: Added, texts: State[str]) -> Added:
    if event.text == "state":
        texts.set("x" * event.n)
    return Added(key=event.key, n=1, text="x" * event.n if event.text == "output" else "")
"""


def raw(app: Application, *records: tuple[bytes | None, list[tuple[str, bytes]]], partition: int = 0) -> None:
    """Write records as any producer may."""
    client = Client({"bootstrap.servers": app.servers})
    for value, headers in records:
        client.produce(app.names.topic("adds"), value, b"raw", partition, headers=headers)
    assert client.flush(20) == 0


def failing(run: Run) -> str:
    """Wait until the worker has ended for good; returns why."""
    run.until(lambda: run.supervisor.all_ended, 30, "the worker's end", failing=True)
    assert run.views[0].state is WorkerState.FAILED
    assert run.views[0].restarts == 0
    return run.views[0].error


def test_records_that_cannot_be_decoded_are_set_aside_and_the_rest_counts(application: Make) -> None:
    """Raw bytes, cause and origin in the dead-letter topic, written in the same transaction."""
    app = application()
    good = b'{"key": "raw", "n": 1}'
    bad: list[tuple[bytes | None, list[tuple[str, bytes]]]] = [
        (b"no json", []),
        (b"", []),
        (None, []),
        (b'{"key": "raw"}', []),
        (good, [("ce_type", b"Other.v1")]),
        (good, [("ce_type", b"Added.v7")]),
    ]
    raw(app, (good, []), *bad, (good, [("ce_type", b"Added.v1")]))
    with app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].dead_letters == len(bad), 10, "the report")
    letters = app.dead_letters()
    causes = [dict(m.headers() or [])[PREFIX + "exception"].decode().split(".")[-1] for m in letters]
    assert sorted(causes) == sorted(
        ["NotJson", "EmptyRecord", "UnexpectedTombstone", "InvalidEvent", "UnknownType", "NewerVersion"]
    )
    origins = {int(dict(m.headers() or [])[PREFIX + "offset"]): m.value() for m in letters}
    assert origins == {offset: value for offset, (value, _) in enumerate(bad, start=1)}
    assert [o.count for o in app.decoded("sums")] == [1, 2]


def test_a_record_that_cannot_be_decoded_may_stop_its_shard(application: Make) -> None:
    """`on_bad_record: stop`."""
    app = application(on_bad_record="stop", topic={"partitions": 1})
    raw(app, (b'{"key": "raw", "n": 1}', []), (b"no json", []))
    with app.run() as run:
        why = failing(run)
    assert f"{app.names.topic('adds')}[0]@1" in why or "every shard of this worker has stopped" in why
    assert app.committed() == {("adds", 0): 1}
    assert len(app.decoded("sums")) == 1


def test_a_handler_that_raises_stops_its_shard_there_and_others_go_on(application: Make) -> None:
    """Cause and position are told; what was before is committed; a mended handler goes on there."""
    app = application(handler=RAISES)
    app.publish(*(Added(key=f"k{i}", n=i) for i in range(40)))
    app.publish(Added(key="k3", n=1, text="poison"), Added(key="k3", n=2))
    with app.run() as run:
        run.until(lambda: run.views[0].shard_failures, 30, "a stopped shard", failing=True)
        [(partition, message)] = run.views[0].shard_failures.items()
        poison = next(m for m in app.read("adds") if b"poison" in (m.value() or b""))
        assert poison.partition() == partition
        place = f"{app.names.topic('adds')}[{partition}]@{poison.offset()}"
        assert f"stopped shard {partition} at {place}: ValueError: cannot take poison" in message
        line = RAISES[: RAISES.index("raise ValueError")].count("\n") + 1
        assert f"({app.folder / 'test_handler.py'}:{line})" in message
        assert 'raise ValueError("cannot take poison")' in app.logs()
        assert "engine/step.py" not in app.logs()
        # The others still work.
        app.publish(*(Added(key=f"k{i}", n=i) for i in range(40)))
        ends = {p: sum(m.partition() == p for m in app.read("adds")) for p in range(4)}
        done = {("adds", p): end for p, end in ends.items() if p != partition}
        run.until(
            lambda: app.committed() == {**done, ("adds", partition): poison.offset()},
            20,
            "the others",
            failing=True,
        )
        assert run.views[0].state is WorkerState.RUNNING
    (app.folder / "test_handler.py").write_text(RAISES.replace('"poison"', '"never"'))
    with app.run() as run:
        run.until_drained()
    assert assert_exactly_once(app) == 82


def test_a_handler_that_raises_everywhere_ends_the_worker_for_good(application: Make) -> None:
    """Exit without restart: it would only fail again. The message has every cause."""
    app = application(handler=RAISES, topic={"partitions": 2})
    app.publish(*(Added(key=f"k{i}", n=i) for i in range(10)))
    app.publish(*(Added(key=f"k{i}", n=i, text="poison") for i in range(10)))
    with app.run() as run:
        why = failing(run)
    assert "every shard of this worker has stopped" in why
    assert why.count("ValueError: cannot take poison") == 2
    assert len(app.decoded("sums")) == 10


def test_a_handler_that_raises_may_dead_letter(application: Make) -> None:
    """`on_error: dead-letter`: the record left no trace in the state."""
    app = application(handler=RAISES, on_error="dead-letter")
    events = [Added(key=f"k{i % 7}", n=i, text="poison" if i % 10 == 3 else "") for i in range(200)]
    app.publish(*events)
    with app.run() as run:
        run.until_drained()
    letters = app.dead_letters()
    assert len(letters) == 20
    assert all(b"cannot take poison" in dict(m.headers() or [])[PREFIX + "message"] for m in letters)
    last = {o.key: (o.count, o.total) for o in app.decoded("sums")}
    for key in {event.key for event in events}:
        good = [event.n for event in events if event.key == key and not event.text]
        assert last[key] == (len(good), sum(good))
    # The log names the first ones and counts the others.
    lines = [line for line in app.logs().splitlines() if "cannot take poison" in line]
    assert len(lines) == 11
    assert "10 more like this were left out" in lines[-1]
    assert all(app.topology.dead_letter_topic in line and "test_handler.py:" in line for line in lines)


def test_topics_of_several_events_with_deletions(application: Make) -> None:
    """Generators, tombstones in and out, and state that is deleted and begins anew."""
    app = application(handler=MANY, inputs={"adds": (Added, Taken)}, outputs={"out": (Added, Taken)})
    app.publish(Added(key="a", n=2), Taken(key="a", n=1), Tombstone(Added, "a"), Added(key="a", n=1))  # type: ignore[arg-type]
    with app.run() as run:
        run.until_drained()
    assert app.decoded("out") == [
        Added(key="a", n=1),
        Added(key="a", n=1),
        Added(key="a", n=2),
        Taken(key="a", n=1),
        Tombstone(Added, b"a"),
        Added(key="a", n=1),
    ]


@pytest.mark.parametrize("size", [999_800, 2_000_000])
def test_an_output_that_is_too_large_stops_at_its_record(application: Make, size: int) -> None:
    """Just below what the broker takes it passes, above it is the handler's error."""
    app = application(
        handler=LARGE, outputs={"out": (Added,)}, tables={"texts": "str"}, topic={"partitions": 1}
    )
    app.publish(Added(key="k", n=1), Added(key="k", n=size, text="output"), Added(key="k", n=1))
    with app.run() as run:
        if size < 1_000_000:
            run.until_drained()
        else:
            assert "above the limit of 1,000,000" in failing(run)
    assert app.committed() == {("adds", 0): 3 if size < 1_000_000 else 1}


def test_a_topic_with_a_larger_limit_takes_larger_outputs(application: Make) -> None:
    """`max.message.bytes` of the topic is what counts."""
    app = application(
        handler=LARGE,
        outputs={"out": (Added,)},
        tables={"texts": "str"},
        topic={"partitions": 1, "config": {"max.message.bytes": 3_000_000}},
    )
    app.publish(Added(key="k", n=2_500_000, text="output"))
    with app.run() as run:
        run.until_drained()
    assert [len(event.text) for event in app.decoded("out")] == [2_500_000]


def test_a_topic_with_a_smaller_limit_gets_smaller_batches(application: Make) -> None:
    """A broker measures whole batches."""
    app = application(
        handler=LARGE,
        outputs={"out": (Added,)},
        tables={"texts": "str"},
        topic={"partitions": 1, "config": {"max.message.bytes": 20_000}},
        kafka={"compression.type": "none"},
    )
    app.publish(*(Added(key="k", n=5_000, text="output") for _ in range(50)))
    with app.run() as run:
        run.until_drained()
    assert len(app.decoded("out")) == 50


@pytest.mark.parametrize("size", [999_900, 2_000_000])
def test_a_state_value_that_is_too_large_stops_the_shard(application: Make, size: int) -> None:
    """The changelog could not hold it; just below, it passes."""
    app = application(
        handler=LARGE, outputs={"out": (Added,)}, tables={"texts": "str"}, topic={"partitions": 1}
    )
    app.publish(Added(key="k", n=1), Added(key="k", n=size, text="state"))
    with app.run() as run:
        if size < 1_000_000:
            run.until_drained()
        else:
            why = failing(run)
            assert "table 'texts'" in why
            assert "above the changelog's limit of 1,000,000" in why


def test_the_largest_bad_record_fits_into_the_dead_letters(application: Make) -> None:
    """With all that is said about it."""
    app = application(topic={"partitions": 1})
    client = Client({"bootstrap.servers": app.servers, "message.max.bytes": 1_048_500})
    client.produce(app.names.topic("adds"), b"x" * 1_048_000, b"k")
    assert client.flush(20) == 0
    app.publish(Added(key="k", n=1))
    with app.run() as run:
        run.until_drained()
    [letter] = app.dead_letters()
    assert len(letter.value() or b"") == 1_048_000


def test_a_new_group_may_start_at_the_end(application: Make) -> None:
    """`start: latest`: what was there before is not read; what came while nobody ran is."""
    app = application(start="latest")
    app.publish(*(Added(key=f"k{i}", n=i) for i in range(50)))
    with app.run() as run:
        run.until_running()
        run.until(lambda: len(app.committed()) == 4, 20, "the start of every shard")
        run.signal(signal.SIGKILL)
        app.publish(*(Added(key=f"k{i}", n=i) for i in range(30)))
        run.until_drained()
    outputs: list[Any] = app.decoded("sums")
    assert len(outputs) == 30
    assert all(isinstance(output, Folded) and output.count == 1 for output in outputs)

"""Records of which the brokers refuse what came of them: found among the others, and judged by the policy.

A broker refuses whole batches, and a transaction with them, and never says which input it was.
"""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.runtime.supervisor import WorkerState
from tests.support.application import COUNTER, Application, Run
from tests.support.events import Added
from tests.support.fold import problems
from tests.support.refused import AHEAD_MS, ahead, allow_any_time, set_limit

pytestmark = pytest.mark.integration

Make = Callable[..., Application]

LIMIT = 20_000
POISON = "poison"


def long_key() -> str:
    """A key that makes an output larger than `LIMIT`, however it is compressed."""
    return POISON + "".join(random.choices(string.ascii_letters + string.digits, k=3 * LIMIT))


def publish(app: Application, kind: str, *, good: int = 200, keys: int = 16) -> None:
    """A batch of good records over all partitions, with one in its middle of which nothing is accepted."""
    with app.producer() as producer:
        for i in range(good):
            producer.publish(Added(key=f"k{i % keys}", n=i))
            if i == good // 2:
                bad = Added(key=long_key() if kind == "size" else "k1", n=7, text=POISON)
                producer.publish(bad, timestamp=ahead() if kind == "time" else 0)


def poison(app: Application) -> tuple[Any, Added]:
    """The refused record, with its event."""
    [found] = [(m, event) for m, event in app.records("adds") if event.text == POISON]
    return found


def assert_all_but_one(app: Application) -> int:
    """Every other record was applied exactly once, in order, to a state that knows nothing of the refused."""
    inputs = [
        (m.topic(), m.partition(), m.offset(), event.key, event.n)
        for m, event in app.records("adds")
        if event.text != POISON
    ]
    found = problems(inputs, app.decoded("sums"))
    assert not found, f"{len(found)} problems, such as {found[:8]}\n{app.logs()[-6000:]}"
    return len(inputs)


def prepare(app: Application, kind: str) -> None:
    """Have the brokers refuse what comes of one record, and publish it among others."""
    if kind == "size":
        set_limit(app, app.names.topic("sums"), "max.message.bytes", LIMIT)
    else:
        allow_any_time(app)
    publish(app, kind)


WORDS = {"size": "Message size too large", "time": "timestamp"}


def assert_same_life(run: Run) -> None:
    """The worker was not started again."""
    assert run.views[0].state is WorkerState.RUNNING
    assert run.views[0].restarts == 0


@pytest.mark.parametrize("kind", ["time", "size"])
def test_a_record_whose_output_is_refused_is_set_aside_and_all_others_count(
    application: Make, kind: str
) -> None:
    """`dead-letter`: neither its outputs nor its state happen, and its letter gets through."""
    app = application(on_error="dead-letter")
    with app.run() as run:
        run.until_running()
        prepare(app, kind)
        run.until_drained()
        assert_same_life(run)
        run.until(lambda: run.views[0].dead_letters == 1, 10, "the report")
    assert assert_all_but_one(app) == 200
    record, _ = poison(app)
    [letter] = app.dead_letters()
    headers = {name: (value or b"").decode() for name, value in letter.headers() or ()}
    assert (letter.key(), letter.value()) == (record.key(), record.value())
    assert headers["__streams.errors.exception"] == "holdfast.errors.OutputRefused"
    assert headers["__streams.errors.offset"] == str(record.offset())
    assert app.names.topic("sums") in headers["__streams.errors.message"]
    assert WORDS[kind] in headers["__streams.errors.message"]
    if kind == "time":
        assert abs(letter.timestamp()[1] - time.time() * 1000) < AHEAD_MS / 2
        assert headers["holdfast.timestamp"] == str(record.timestamp()[1])
    else:
        assert letter.timestamp() == record.timestamp()


@pytest.mark.parametrize("kind", ["time", "size"])
def test_a_record_whose_output_is_refused_stops_its_shard_and_the_others_go_on(
    application: Make, kind: str
) -> None:
    """`stop`: the message names record, topic, and what the brokers said; once mended, it goes on there."""
    app = application(on_error="stop")
    with app.run() as run:
        run.until_running()
        prepare(app, kind)
        run.until(lambda: run.views[0].shard_failures, 40, "a stopped shard", failing=True)
        record, _ = poison(app)
        [(partition, message)] = run.views[0].shard_failures.items()
        place = f"{app.names.topic('adds')}[{partition}]@{record.offset()}"
        assert f"stopped shard {record.partition()} at {place}: " in message
        assert app.names.topic("sums") in message
        assert WORDS[kind] in message
        assert "on_error: dead-letter" in message
        publish_more(app)
        ends = {p: sum(m.partition() == p for m in app.read("adds")) for p in range(4)}
        wanted = {("adds", p): record.offset() if p == partition else end for p, end in ends.items()}
        run.until(lambda: app.committed() == wanted, 20, "the other shards' records", failing=True)
        assert_same_life(run)
    limit = (
        ("max.message.bytes", 1_000_000) if kind == "size" else ("message.timestamp.after.max.ms", 2**63 - 1)
    )
    set_limit(app, app.names.topic("sums"), *limit)
    with app.run() as run:
        run.until_drained()
    inputs = [(m.topic(), m.partition(), m.offset(), event.key, event.n) for m, event in app.records("adds")]
    assert problems(inputs, app.decoded("sums")) == []
    assert len(inputs) == 241


def publish_more(app: Application) -> None:
    """Records for every shard."""
    app.publish(*(Added(key=f"k{i % 16}", n=i) for i in range(40)))


@pytest.mark.slow
def test_many_refused_records_are_set_aside_one_after_the_other(application: Make) -> None:
    """Old data after an upgrade: each costs a few units, not a restart, and none takes others with it."""
    app = application(on_error="dead-letter")
    allow_any_time(app)
    with app.producer() as producer:
        for i in range(200):
            bad = i % 20 == 7
            producer.publish(
                Added(key=f"k{i % 16}", n=i, text=POISON if bad else ""), timestamp=ahead() if bad else 0
            )
    with app.run() as run:
        run.until_drained(120)
        assert_same_life(run)
    assert assert_all_but_one(app) == 190
    assert len(app.dead_letters()) == 10


def test_a_bad_record_whose_letter_is_refused_for_its_time_gets_another_time(application: Make) -> None:
    """The cause of the letter is what was wrong with the record, not that the letter was refused."""
    app = application(handler=RAISES, on_error="dead-letter")
    allow_any_time(app)
    publish(app, "time")
    with app.run() as run:
        run.until_drained()
        assert_same_life(run)
    assert assert_all_but_one(app) == 200
    record, _ = poison(app)
    [letter] = app.dead_letters()
    headers = dict(letter.headers() or ())
    assert headers["__streams.errors.message"] == b"cannot take poison"
    assert headers["holdfast.timestamp"] == str(record.timestamp()[1]).encode()


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


def test_a_record_whose_letter_is_too_large_stops_its_shard_and_says_so(application: Make) -> None:
    """There is no way to set it aside: whatever the policy, nothing is skipped."""
    app = application(on_error="dead-letter")
    with app.run() as run:
        run.until_running()
        set_limit(app, app.topology.dead_letter_topic, "max.message.bytes", LIMIT)
        prepare(app, "size")
        run.until(lambda: run.views[0].shard_failures, 40, "a stopped shard", failing=True)
        record, _ = poison(app)
        [message] = run.views[0].shard_failures.values()
        assert f"[{record.partition()}]@{record.offset()}: " in message
        assert app.topology.dead_letter_topic in message
        assert "dead letter" in message
        ends = {p: sum(m.partition() == p for m in app.read("adds")) for p in range(4)}
        wanted = {**{("adds", p): n for p, n in ends.items()}, ("adds", record.partition()): record.offset()}
        run.until(lambda: app.committed() == wanted, 20, "the other shards' records", failing=True)
        assert_same_life(run)


def test_a_changelog_that_takes_less_than_before_is_judged_as_an_output_is(application: Make) -> None:
    """Its limit was lowered under a running worker, which measures by the one that it began with."""
    app = application(on_error="dead-letter")
    with app.run() as run:
        run.until_running()
        set_limit(app, app.changelog, "max.message.bytes", LIMIT)
        publish(app, "size")
        run.until_drained()
        assert_same_life(run)
    assert assert_all_but_one(app) == 200
    [letter] = app.dead_letters()
    assert app.changelog.encode() in (dict(letter.headers() or ())["__streams.errors.message"] or b"")


@pytest.mark.parametrize("kind", ["time", "size"])
def test_at_least_once_sets_a_refused_record_aside_and_loses_no_other(application: Make, kind: str) -> None:
    """What was sent beside it may be there more than once."""
    app = application(on_error="dead-letter", guarantee="at-least-once")
    with app.run() as run:
        run.until_running()
        prepare(app, kind)
        run.until_drained()
        assert_same_life(run)
    inputs = {(m.partition(), m.offset()) for m, event in app.records("adds") if event.text != POISON}
    assert {(output.partition, output.offset) for output in app.decoded("sums")} == inputs
    record, _ = poison(app)
    letters = {(m.key(), m.value()) for m in app.dead_letters()}
    assert letters == {(record.key(), record.value())}


def test_at_least_once_stops_a_shard_at_a_refused_record(application: Make) -> None:
    """It is not skipped, and neither is it tried for ever."""
    app = application(on_error="stop", guarantee="at-least-once")
    with app.run() as run:
        run.until_running()
        prepare(app, "time")
        run.until(lambda: run.views[0].shard_failures, 40, "a stopped shard", failing=True)
        record, _ = poison(app)
        run.until(
            lambda: app.committed()[("adds", record.partition())] == record.offset(),
            20,
            "what is before it",
            failing=True,
        )
        assert_same_life(run)
    assert COUNTER in run.views[0].shard_failures[record.partition()]

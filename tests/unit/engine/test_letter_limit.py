"""How many records a shard may set aside: those that it judges itself, and those that a sink refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from holdfast import Event, processor
from holdfast.engine.handler import inspect_handler
from holdfast.engine.letter_limit import LetterCount, LetterLimit
from holdfast.engine.outputs import Router
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.shard import ShardTask
from holdfast.engine.sink_writes import SinkWrites
from holdfast.engine.unit import Unit
from holdfast.errors import SinkRefused, TooManySetAside
from holdfast.record import Position
from holdfast.schema import EventDecoder
from holdfast.testing import MemoryMessage, MemoryStore

TOPIC, OTHER = "adds", "more"
BATCH = 20
DEFAULT = LetterLimit(0.5, 1_000)


class Added(Event):
    """A number."""

    n: int


@processor
def _same(event: Added) -> Added:
    return event


def shard(limit: LetterLimit, inputs: Sequence[str] = (TOPIC,)) -> ShardTask:
    """A shard whose handler accepts everything, for a sink that may not."""
    plan = ProcessorPlan(
        name="sum",
        handler=inspect_handler(_same),
        decoders={topic: EventDecoder([Added]) for topic in inputs},
        tables={},
        router=Router("sum", {}, {}),
        sink=SinkWrites("sum", "history", (Added,)),
        dead_letter_topic="letters",
        letter_limit=limit,
    )
    return ShardTask(plan, 0, MemoryStore(), dict.fromkeys(inputs, 0))


def some(topic: str, *offsets: int) -> list[MemoryMessage]:
    """Records of an input."""
    return [MemoryMessage(topic, 0, n, key=b"k", value=b'{"n":%d}' % n) for n in offsets]


def stops_at(
    task: ShardTask,
    is_refused: Callable[[int], bool],
    *,
    batch: int = BATCH,
    step: int = 1,
    records: int,
    again: int = 0,
) -> int | None:
    """Pass batches on, of which a sink refuses some records; the number of the one that stops the shard.

    Each is done again so many times before it is committed.
    """
    for begin in range(0, records, batch):
        numbers = range(begin, begin + batch)
        messages = some(TOPIC, *(n * step for n in numbers))
        for _ in range(again):
            task.handle(TOPIC, messages, Unit())
            task.seal()
            task.reset()
        task.handle(TOPIC, messages, Unit())
        task.seal()
        task.committed()
        for n in filter(is_refused, numbers):
            task.note_refused([(Position(TOPIC, 0, n * step), SinkRefused("no"))])
            if task.failure is not None:
                assert isinstance(task.failure.cause, TooManySetAside)
                return n
    return None


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize("step", [1, 2], ids=["plain", "a transaction for each record"])
def test_a_sink_that_refuses_nearly_all_stops_the_shard(step: int, batch: int) -> None:
    """It is the share that was declared, though each record was counted when it was passed on."""
    at = stops_at(shard(DEFAULT), lambda n: bool(n % 100), step=step, batch=batch, records=5_000)
    assert at is not None
    assert 500 <= at <= 550


@pytest.mark.parametrize("again", [1, 5])
def test_records_that_are_done_again_are_counted_once(again: int) -> None:
    """Else the share that was declared was one of fewer and fewer records, while a sink comes and goes."""
    at = stops_at(shard(DEFAULT), lambda n: n % 10 < 6, records=5_000, again=again)
    assert at == stops_at(shard(DEFAULT), lambda n: n % 10 < 6, records=5_000)
    assert at is not None


def test_a_row_goes_on_where_it_was_when_a_unit_is_done_again() -> None:
    """Set aside before the abort and after it, they have none in between."""
    count = LetterCount(LetterLimit(1, 100, in_a_row=3))
    for _ in range(2):
        count.handled(5)
        assert count.why_not(TOPIC, 5) is None
        count.go_back()
    count.handled(5)
    assert [count.why_not(TOPIC, offset) for offset in (5, 6, 7)] == [None, None, None]
    assert count.why_not(TOPIC, 8) == "the last 3 records of this shard were set aside"


@pytest.mark.parametrize(("refused", "is_stopped"), [(6, True), (4, False)])
@pytest.mark.parametrize("batch", [20, 999, 5_000])
def test_the_share_is_that_of_the_records(refused: int, is_stopped: bool, batch: int) -> None:
    """However large the batches are."""
    at = stops_at(shard(DEFAULT), lambda n: n % 10 < refused, batch=batch, records=20_000)
    assert (at is not None) is is_stopped


def test_how_many_of_a_batch_were_set_aside_beyond_the_limit_is_told() -> None:
    """The sink has refused them all by then, and there are letters of all of them."""
    task = shard(DEFAULT)
    task.handle(TOPIC, some(TOPIC, *range(6_000)), Unit())
    task.seal()
    task.committed()
    task.note_refused([(Position(TOPIC, 0, n), SinkRefused("no")) for n in range(6_000)])
    assert task.failure is not None
    assert task.failure.position.offset == 500
    told = str(task.failure.cause)
    assert told.startswith(
        "500 of the last 1,000 records of this shard were set aside, and here is one more "
    )
    assert "(5,499 others of its batch are set aside as well): " in told


@pytest.mark.parametrize("by_input", [False, True], ids=["as they came", "one input after the other"])
def test_the_share_is_that_of_the_shard_whatever_order_its_inputs_are_told_in(*, by_input: bool) -> None:
    """One of twelve is refused: that is no half of any thousand."""
    task = shard(DEFAULT, (TOPIC, OTHER))
    refused: list[tuple[Position, Exception]] = []
    for begin in range(0, 10_000, 2_000):
        for topic in (TOPIC, OTHER):
            task.handle(topic, some(topic, *range(begin, begin + 2_000)), Unit())
            refused += [
                (Position(topic, 0, n), SinkRefused("no")) for n in range(begin, begin + 2_000) if not n % 12
            ]
    task.seal()
    task.committed()
    task.note_refused(sorted(refused, key=lambda it: it[0]) if by_input else refused)
    assert task.failure is None


def test_refused_records_in_a_row_stop_the_shard_whatever_the_batches() -> None:
    """A row goes on in the next batch."""
    limit = LetterLimit(1.0, 1_000, in_a_row=30)
    assert stops_at(shard(limit), lambda _: True, records=100) == 30


@pytest.mark.parametrize("batch", [1, 7, 1_000])
@pytest.mark.parametrize("step", [1, 2], ids=["plain", "a transaction for each record"])
def test_a_row_is_one_of_records_and_not_of_offsets(step: int, batch: int) -> None:
    """The ends of transactions, and what compaction has taken, are none in between."""
    limit = LetterLimit(1.0, 1_000, in_a_row=20)
    at = stops_at(shard(limit), lambda n: n >= 1_000, batch=batch, step=step, records=2_000)
    assert at == 1_020


@pytest.mark.parametrize("batch", [20, 1_000])
@pytest.mark.parametrize("step", [1, 2], ids=["plain", "a transaction for each record"])
def test_refused_records_with_others_in_between_are_no_row(step: int, batch: int) -> None:
    """However many of them are in one batch."""
    limit = LetterLimit(1.0, 1_000, in_a_row=3)
    assert stops_at(shard(limit), lambda n: bool(n % 3), batch=batch, step=step, records=3_000) is None


def test_a_row_goes_on_while_the_next_batch_is_on_its_way() -> None:
    """What was handed on since the batch that is refused comes after it, whatever its offsets are."""
    task = shard(LetterLimit(1.0, 1_000, in_a_row=20))
    messages = some(TOPIC, *range(0, 100, 2))
    for begin in range(0, 50, 10):
        # The one before is committed when this one has been handled.
        task.handle(TOPIC, messages[begin : begin + 10], Unit())
        if begin:
            task.committed()
            for message in messages[begin - 10 : begin]:
                task.note_refused([(Position(TOPIC, 0, message.offset()), SinkRefused("no"))])
        task.seal()
    assert task.failure is not None
    assert task.failure.position.offset == 2 * 20


def test_a_row_is_that_of_the_shard_however_its_inputs_alternate() -> None:
    """A sink may tell of one input after the other."""
    count = LetterCount(LetterLimit(1, 100, in_a_row=5))
    for begin in range(0, 6, 2):
        for topic in ("a", "b"):
            count.handed_on(topic, some(topic, begin, begin + 1))
    count.seal()
    count.committed()
    assert [count.refused("a", n) for n in range(6)] == [None] * 6
    assert count.refused("b", 0) is None
    assert count.refused("b", 1) == "the last 5 records of this shard were set aside"


def test_bad_records_and_refused_ones_are_one_row() -> None:
    """None in between was handled, though each was judged elsewhere."""
    count = LetterCount(LetterLimit(1, 100, in_a_row=3))
    for n in range(0, 4, 2):
        count.handed_on(TOPIC, some(TOPIC, n))
        assert count.why_not(TOPIC, n + 1) is None
    assert count.refused(TOPIC, 0) is None
    assert count.refused(TOPIC, 2) == "the last 3 records of this shard were set aside"


def test_a_refused_record_is_counted_once() -> None:
    """Also when it is told of again."""
    count = LetterCount(LetterLimit(0.2, 10))
    count.handed_on("t", some("t", *range(10)))
    for _ in range(5):
        assert count.refused("t", 3) is None
    assert count.refused("t", 5) is None
    assert count.refused("t", 9) == "2 of the last 10 records of this shard were set aside"


def test_what_was_handed_on_before_this_count_began_says_nothing() -> None:
    """The shard was taken anew while it was on its way."""
    count = LetterCount(LetterLimit(1, 100, in_a_row=1))
    assert [count.refused(TOPIC, n) for n in (3, 4, 5)] == [None] * 3
    count.handed_on(TOPIC, some(TOPIC, 6, 8))
    assert [count.refused(TOPIC, n) for n in (5, 6, 7, 9)] == [None] * 4
    assert count.refused(TOPIC, 8) == "the last 1 records of this shard were set aside"


def test_bad_records_among_refused_ones_count_with_them() -> None:
    """The shard sets those aside itself, when the others are still on their way."""
    count = LetterCount(LetterLimit(0.5, 10))
    for begin in range(0, 10, 2):
        count.handed_on("t", some("t", begin))
        why = count.why_not("t", begin + 1)
        if why is not None:
            break
        why = count.refused("t", begin)
        if why is not None:
            break
    assert begin == 4


def test_records_in_a_row_have_a_limit_of_their_own() -> None:
    """One that is handled in between begins a new row."""
    count = LetterCount(LetterLimit(1.0, 1_000, in_a_row=3))
    assert [count.why_not("t", n) for n in range(3)] == [None] * 3
    assert count.why_not("t", 3) == "the last 3 records of this shard were set aside"
    count.handled(1)
    assert [count.why_not("t", n) for n in range(10, 13)] == [None] * 3


def test_one_in_a_hundred_goes_on_for_ever() -> None:
    """Old ones are forgotten."""
    count = LetterCount(LetterLimit(0.02, 1_000))
    for n in range(10_000):
        count.handled(99)
        assert count.why_not("t", n) is None


def test_a_record_that_comes_again_is_counted_once() -> None:
    """Its unit was done again."""
    count = LetterCount(LetterLimit(0.3, 10))
    for _ in range(50):
        assert count.why_not("t", 7) is None
    assert count.why_not("t", 8) is None


def test_a_share_of_one_is_no_limit() -> None:
    """Whoever declares it wants every record set aside."""
    count = LetterCount(LetterLimit(1.0, 10))
    assert all(count.why_not("t", n) is None for n in range(100))

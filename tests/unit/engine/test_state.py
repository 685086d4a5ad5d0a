"""Keyed state: what a handler sees, and that no change is lost between cache, overlays and store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import BaseModel, model_serializer

from holdfast import State
from holdfast.engine.state import CACHED_VALUE_BYTES, UNREAD, ShardTable
from holdfast.engine.tables import SAMPLE_RECORDS
from holdfast.engine.unit import UNIT_STATE_BYTES, Unit
from holdfast.errors import MissingKey, StateError
from holdfast.schema import ValueCodec
from holdfast.testing import MemoryStore
from tests.unit.engine.kit import LETTERS, Added, Bench, Sum, Totalled, added, make_plan

KEYS = [b"a", b"b", b"c", b"d", b"e"]


class Picky(BaseModel, frozen=True):
    """A value that cannot be written."""

    total: int = 0

    @model_serializer
    def write(self) -> Any:
        """Raise what no codec expects."""
        raise RuntimeError("not today")


class TableModel(RuleBasedStateMachine):
    """A table against plain dictionaries: committed, in flight, open."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.table = ShardTable("sums", ValueCodec(int), self.store, cache_entries=2)
        self.committed: dict[bytes, int] = {}
        self.in_flight: dict[bytes, int | None] | None = None
        self.open: dict[bytes, int | None] = {}

    def expected(self, key: bytes) -> int | None:
        """What a handler must see."""
        for layer in (self.open, self.in_flight or {}):
            if key in layer:
                return layer[key]
        return self.committed.get(key)

    def state(self, key: bytes) -> State[int]:
        """A handle bound to a key as the hot loop binds it."""
        state = State(self.table)
        state._key, state._value, state._changed = key, UNREAD, False
        return state

    @rule(key=st.sampled_from(KEYS))
    def read(self, key: bytes) -> None:
        """A read sees the newest value."""
        assert self.state(key).get() == self.expected(key)

    @rule(key=st.sampled_from(KEYS), value=st.none() | st.integers(0, 9))
    def write(self, key: bytes, value: int | None) -> None:
        """A handler changes or deletes a key and returns."""
        state = self.state(key)
        if value is None:
            state.delete()
        else:
            state.set(value)
        assert state.get() == value
        state.keep()
        self.open[key] = value

    @rule(key=st.sampled_from(KEYS), value=st.integers(0, 9))
    def write_and_raise(self, key: bytes, value: int) -> None:
        """A handler changes a key and raises: nothing happened."""
        self.state(key).set(value)

    @precondition(lambda self: self.in_flight is None)
    @rule()
    def seal(self) -> None:
        """The unit is closed; its changes are the last value of each dirty key."""
        rows = self.table.seal()
        assert {key: None if v is None else int(v) for key, v in rows} == self.open
        assert len(rows) == len(self.open)
        self.rows, self.in_flight, self.open = rows, self.open, {}

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def commit(self) -> None:
        """The sealed unit is committed."""
        self.store.apply({"sums": self.rows}, {})
        self.table.committed()
        for key, value in (self.in_flight or {}).items():
            self.committed.pop(key, None)
            if value is not None:
                self.committed[key] = value
        self.in_flight = None

    @rule(value=st.sampled_from([None, UNREAD, 5]))
    def weigh(self, value: object) -> None:
        """A slice of records ends: the cache may age in the middle of a unit."""
        self.table.sample(value)
        self.table.weigh()

    @rule()
    def abort(self) -> None:
        """Both units are void."""
        self.table.reset()
        self.in_flight, self.open = None, {}

    @invariant()
    def the_overlay_holds_the_open_unit(self) -> None:
        """Keys changed since the last seal."""
        assert len(self.table.overlay) == len(self.open)


TestTableModel = TableModel.TestCase
TestTableModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_cache_holds_at_most_two_generations() -> None:
    """A seal ages it; keys of the open unit are never dropped by that."""
    store = MemoryStore()
    table = ShardTable("sums", ValueCodec(int), store, cache_entries=10)
    for unit in range(5):
        for i in range(30):
            state = State(table)
            state._key = f"{unit}-{i}".encode()
            state.set(i)
            state.keep()
        store.apply({"sums": table.seal()}, {})
        table.committed()
    assert len(table.young) + len(table._old) <= 2 * 30
    assert table.load(b"0-7") == 7


def keep(table: ShardTable[str], key: str, value: str) -> None:
    """Change a key as a handler does that returns."""
    state = State(table)
    state._key = key.encode()
    state.set(value)
    state.keep()


def test_the_cache_holds_fewer_large_values_than_small_ones() -> None:
    """Within a unit too, and whether they were written or read."""
    store = MemoryStore()
    table = ShardTable("texts", ValueCodec(str), store, cache_entries=100)
    for i in range(500):
        keep(table, f"{i}", "x" * 10 * CACHED_VALUE_BYTES)
        table.sample(UNREAD)
        table.weigh()
        assert len(table.young) + len(table._old) <= 2 * 11
    assert len(table.overlay) == 500
    store.apply({"texts": table.seal()}, {})
    table.committed()
    reader = ShardTable("texts", ValueCodec(str), store, cache_entries=100)
    for i in range(500):
        reader.load(f"{i}".encode())
        reader.weigh()
        assert len(reader.young) + len(reader._old) <= 2 * 11


def large_texts(event: Added, texts: State[str]) -> None:
    """A handler that stores as many characters as the event says."""
    texts.set("x" * event.n)


def test_a_unit_grows_heavy_by_its_state() -> None:
    """The estimate is near what will be written; the next unit begins at nothing."""
    bench = Bench(make_plan(large_texts, tables={"texts": str}))
    for i in range(0, 960, 64):
        bench.handle(*(added(n, f"key-{n}", 50_000) for n in range(i, i + 64)))
        assert bench.unit.is_heavy == ((i + 64) * 50_002 >= UNIT_STATE_BYTES)
    assert bench.unit.is_heavy
    bench.commit()
    bench.handle(added(960, "small", 5))
    assert not bench.unit.is_heavy


def test_a_hot_key_does_not_make_a_unit_heavy() -> None:
    """Only its last value is kept and written."""
    bench = Bench(make_plan(large_texts, tables={"texts": str}))
    for i in range(0, 1920, 64):
        bench.handle(*(added(n, f"key-{n % 4}", 50_000) for n in range(i, i + 64)))
    assert bench.unit.state_bytes == 4 * 50_002


def test_values_that_grow_large_within_a_unit_are_noticed() -> None:
    """Under new keys, and under keys that the unit changed before when they were small."""
    bench = Bench(make_plan(large_texts, tables={"texts": str}))
    bench.handle(*(added(n, f"key-{n}", 5) for n in range(1024)))
    assert bench.unit.state_bytes < 50_000
    bench.handle(*(added(n, f"key-{n - 1024}", 50_000) for n in range(1024, 2048)))
    assert bench.unit.is_heavy


def test_what_was_weighed_is_forgotten_with_an_aborted_unit() -> None:
    """The same records make the next unit as heavy."""
    bench = Bench(make_plan(large_texts, tables={"texts": str}))
    records = [added(n, f"key-{n}", 50_000) for n in range(64)]
    bench.handle(*records)
    weight = bench.unit.state_bytes
    bench.task.reset()
    bench.unit = Unit()
    bench.handle(*records)
    assert bench.unit.state_bytes == weight == 64 * 50_002


def test_weighing_looks_at_few_values_only() -> None:
    """It must not cost anything per record."""
    plan = make_plan(large_texts, tables={"texts": str})
    codec, seen = plan.tables["texts"], []
    encode = codec.encode
    codec.encode = lambda value: seen.append(value) or encode(value)
    bench = Bench(plan)
    for i in range(0, 2048, 64):
        bench.handle(*(added(n, f"key-{n}", 5) for n in range(i, i + 64)))
    assert len(seen) <= 2048 / SAMPLE_RECORDS + 1


def test_two_changes_of_one_record_take_effect_together_or_not_at_all() -> None:
    """A handler that sets one table and raises before the second leaves neither."""

    def handle(event: Added, sums: State[Sum], counts: State[int]) -> None:
        sums.set(Sum(total=event.n))
        if event.n < 0:
            raise ValueError("negative")
        counts.set(1)

    bench = Bench(make_plan(handle, tables={"sums": Sum, "counts": int}, on_error="dead-letter"))
    bench.handle(added(0, "a", -1), added(1, "b", 2))
    bench.commit()
    assert (bench.state(b"a"), bench.state(b"a", "counts")) == (None, None)
    assert (bench.state(b"b"), bench.state(b"b", "counts")) == (Sum(total=2), 1)


def test_a_generator_that_raises_late_leaves_no_trace() -> None:
    """Neither the outputs yielded before nor the state set before."""

    def handle(event: Added, sums: State[Sum]) -> Iterator[Totalled]:
        sums.set(Sum(total=event.n))
        yield Totalled(key=event.key, total=event.n)
        raise ValueError("late")

    bench = Bench(make_plan(handle, on_error="dead-letter"))
    bench.handle(added(0))
    assert [output.topic for output in bench.unit.outputs] == [LETTERS]
    bench.commit()
    assert bench.state() is None


def test_a_change_that_failed_is_not_seen_by_the_next_record() -> None:
    """The handle is bound anew for each record."""
    seen: list[Sum | None] = []

    def handle(event: Added, sums: State[Sum]) -> None:
        seen.append(sums.get())
        sums.set(Sum(total=event.n))
        if event.n == 2:
            raise ValueError

    bench = Bench(make_plan(handle, on_error="dead-letter"))
    bench.handle(added(0, n=1), added(1, n=2), added(2, n=3))
    assert seen == [None, Sum(total=1), Sum(total=1)]


@pytest.mark.parametrize("use", ["get", "set", "delete"])
def test_state_of_a_record_without_key_is_an_error(use: str) -> None:
    """It is the handler's error, with advice."""

    def handle(event: Added, sums: State[Sum]) -> None:
        sums.set(Sum()) if use == "set" else getattr(sums, use)()

    bench = Bench(make_plan(handle))
    bench.handle(added(0, raw_key=None))
    assert bench.task.failure is not None
    assert isinstance(bench.task.failure.cause, MissingKey)
    assert "declare `key:`" in str(bench.task.failure.cause)


def test_a_value_of_another_type_cannot_be_sealed() -> None:
    """What could not be read back later is refused now; the message says table, key and records."""

    def handle(event: Added, sums: State[Sum]) -> None:
        sums.set("no sum" if event.n > 1 else Sum())  # type: ignore[arg-type]

    bench = Bench(make_plan(handle))
    bench.handle(added(0, "good"))
    bench.commit()
    bench.handle(added(1, "good"), added(2, "bad", 2), added(3, "good"))
    with pytest.raises(StateError) as caught:
        bench.task.seal()
    assert str(caught.value) == (
        "table 'sums' of 'counter', shard 3: key b'bad': the table holds Sum values; a str was set: "
        "'no sum'; set by a record with this key, of adds[3] from offset 1 to 3"
    )


def test_a_serializer_that_raises_is_told_with_its_key() -> None:
    """Whatever a model's own code raises, the shard can be stopped for it."""

    def handle(event: Added, picks: State[Picky]) -> None:
        picks.set(Picky())

    bench = Bench(make_plan(handle, tables={"picks": Picky}))
    bench.handle(added(0, "bad"))
    with pytest.raises(
        StateError, match=r"table 'picks'.*key b'bad': .*not today.*adds\[3\] from offset 0 to 0"
    ):
        bench.task.seal()

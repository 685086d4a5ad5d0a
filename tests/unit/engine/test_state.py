"""Keyed state: what a handler sees, and that no change is lost between cache, overlays and store."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast import State
from holdfast.engine.state import CACHED_VALUE_BYTES, UNREAD, ShardTable
from holdfast.errors import MissingKey
from holdfast.schema import ValueCodec
from holdfast.testing import MemoryStore
from tests.unit.engine.kit import Added, Bench, Sum, added, make_plan

KEYS = [b"a", b"b", b"c", b"d", b"e"]


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

"""The tables of a shard as one: how heavy they make a unit, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import State
from holdfast.engine.tables import SAMPLE_RECORDS
from holdfast.engine.unit import UNIT_STATE_BYTES, Unit
from holdfast.errors import CorruptStore, StateError, StoreError
from holdfast.testing import MemoryStore
from tests.unit.engine.kit import IN, Added, Bench, Sum, Totalled, added, count, make_plan


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


class BrokenStore(MemoryStore):
    """A store whose files cannot be read."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self._error = error

    def get(self, table: str, key: bytes) -> bytes | None:  # noqa: ARG002
        """Fail as the local store does."""
        raise self._error


@pytest.mark.parametrize(
    "error", [CorruptStore("block checksum mismatch"), StoreError("too many open files")]
)
@pytest.mark.parametrize("policy", ["stop", "dead-letter"])
def test_a_store_that_cannot_be_read_is_not_the_records_fault(policy: Any, error: StoreError) -> None:
    """It is raised, to be opened again: the record is neither skipped nor the shard stopped at it."""
    bench = Bench(make_plan(count, on_error=policy), BrokenStore(error))
    with pytest.raises(type(error)):
        bench.handle(added(0))
    assert bench.task.failure is None
    assert bench.unit.outputs == []
    assert bench.task.positions == {IN: 0}


class BrokenOnce(MemoryStore):
    """A store that cannot be read, the first time."""

    def __init__(self, error: StateError) -> None:
        super().__init__()
        self.error: StateError | None = error

    def get(self, table: str, key: bytes) -> bytes | None:
        """Fail, or read."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return super().get(table, key)


@pytest.mark.parametrize("later", [None, 7], ids=["alone", "before a record that stops the shard"])
@pytest.mark.parametrize("error", [CorruptStore("damaged"), StateError("a stored value is no Sum")])
def test_an_error_of_the_state_that_a_handler_swallows_is_not_forgotten(
    error: StateError, later: int | None
) -> None:
    """A broad `except` would turn one damaged block into committed wrong results."""

    def handle(event: Added, sums: State[Sum]) -> Totalled:
        if event.n == later:
            raise ValueError("stop here")
        try:
            total = (sums.get() or Sum()).total
        except Exception:  # noqa: BLE001 - that is the point
            total = -1
        return Totalled(key=event.key, total=total)

    bench = Bench(make_plan(handle), BrokenOnce(error))
    with pytest.raises(StoreError, match=str(error)):
        bench.handle(added(0, "a"), added(1, "b", n=7), added(2, "c"))
    assert bench.task.failure is None
    bench.task.reset()
    bench.unit = Unit()
    bench.handle(added(0, "a"))
    assert [output.value for output in bench.unit.outputs] == [b'{"key":"a","total":0,"text":""}']

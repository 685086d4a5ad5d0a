"""What the changelog cannot take is refused when a unit is sealed, with its key and its records."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, model_serializer

from holdfast import State
from holdfast.errors import StateError
from tests.unit.engine.kit import IN, Added, Bench, Sum, Taken, added, make_plan


def test_the_size_of_a_state_value_is_limited_with_its_key() -> None:
    """The changelog would refuse it; the message says table, key, size and records."""

    def handle(event: Added, texts: State[str]) -> None:
        texts.set("x" * event.n)

    bench = Bench(make_plan(handle, tables={"texts": str}, max_bytes=1_000))
    bench.handle(added(0), added(1, "k" * 600, 600))
    with pytest.raises(
        StateError,
        match=r"table 'texts' of 'counter', shard 3: key b'k.*' and its value have 1,202 bytes, above the "
        r"changelog's limit of 1,000; .*; set by a record with this key, of adds\[3\] from offset 0 to 1",
    ):
        bench.task.seal()


def test_a_value_that_cannot_be_sealed_is_looked_for_in_every_input_that_was_read() -> None:
    """An input of which nothing was handled in the unit is not named, nor what is in flight."""

    def handle(event: Added | Taken, texts: State[str]) -> None:
        texts.set("x" * event.n)

    reads = {IN: [Added], "takes": [Taken], "third": [Added]}
    bench = Bench(make_plan(handle, reads=reads, tables={"texts": str}, max_bytes=100))
    bench.handle(added(0), added(1))
    bench.task.seal()
    taken = [("ce_type", b"Taken.v2")]
    bench.handle(added(2))
    bench.handle(added(7, n=200, headers=taken), topic="takes")
    with pytest.raises(
        StateError, match=r"of adds\[3\] from offset 2 to 2 or of takes\[3\] from offset 0 to 7$"
    ):
        bench.task.seal()


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


class Picky(BaseModel, frozen=True):
    """A value that cannot be written."""

    total: int = 0

    @model_serializer
    def write(self) -> Any:
        """Raise what no codec expects."""
        raise RuntimeError("not today")


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

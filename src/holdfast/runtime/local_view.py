"""Looks into the stores of this machine's workers, owners and standbys alike, while they work.

Such a value may be old: it is told together with the changelog position that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.errors import CorruptStore, StateError
from holdfast.runtime.store import RocksStore, StoreMemory

_MIB: Final = 1024 * 1024
_TRIES: Final = 5
"""A worker may replace files while they are opened here."""


@dataclass(frozen=True, slots=True)
class LocalValue:
    """What one worker's store holds under a key.

    Attributes:
        value: the value; None if the key has none.
        slot: the worker.
        partition: the shard.
        position: the changelog offset up to which the store is complete.
    """

    value: bytes | None
    slot: str
    partition: int
    position: int


def read_local(folder: Path, table: str, topic_id: str, key: bytes, partition: int) -> LocalValue | None:
    """The newest value of this machine's stores; None if no worker here has the shard.

    Args:
        folder: the processor's state folder, with a folder for each slot.
        table: the table.
        topic_id: the id of its changelog: state of another history, or of another shard, is left out.
        key: the key.
        partition: the shard that the key is in.

    Raises:
        StateError: a store is there but cannot be read.
    """
    found = [
        value
        for path in sorted(folder.glob(f"*/{partition}"))
        if (path / "CURRENT").exists()
        for value in _look(path, table, topic_id, key)
    ]
    return max(found, key=lambda one: one.position, default=None)


def _look(path: Path, table: str, topic_id: str, key: bytes) -> Iterator[LocalValue]:
    for tries_left in reversed(range(_TRIES)):
        try:
            store = RocksStore(path, [table], StoreMemory(4 * _MIB, 4 * _MIB), read_only=True)
            try:
                position, value = store.checkpoint(table), store.get(table, key)
                shard = int(path.name)
                if position is not None and store.topic(table) == topic_id and store.shard == shard:
                    yield LocalValue(value, path.parent.name, shard, position)
            finally:
                store.close()
        except CorruptStore as error:
            if not tries_left:
                raise StateError(f"the state in {path} cannot be read beside its worker: {error}") from error
        else:
            return

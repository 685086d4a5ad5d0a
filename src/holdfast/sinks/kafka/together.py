"""The same work for several shards at once: most of it is waiting for brokers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def together(work: Callable[[T], R], items: Sequence[T]) -> list[R | Exception]:
    """Work on all items, and return what came of each: its result, or what was raised.

    Each has a thread, a daemon: what hangs must not hold up our exit.
    """
    results: list[R | Exception] = [RuntimeError("it did not end")] * len(items)

    def run(index: int) -> None:
        try:
            results[index] = work(items[index])
        except Exception as error:  # noqa: BLE001 - it is the caller's to judge
            results[index] = error

    threads = [
        Thread(target=run, args=(index,), name="sink-shard", daemon=True) for index in range(1, len(items))
    ]
    for thread in threads:
        thread.start()
    if items:
        run(0)
    for thread in threads:
        thread.join()
    return results

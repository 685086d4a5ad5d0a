"""What the runtime gets in place of the machine, the Kafka client and the disk while a simulation runs.

The code of Holdfast is not changed for a simulation, and has no switches for one. Its modules hold names of
the outside world: `time`, `threading`, `Consumer`, `RocksStore`. `installed` looks through all modules of the
library that do the work and lets each such name, whatever it is called there, stand for the simulated thing
instead; and puts everything back afterwards. A module that is added later is covered without being listed.
"""

from __future__ import annotations

import concurrent.futures
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from holdfast.testing.simulation.kernel import Kernel, Process, Signal, Task

_WORKING = ("holdfast.runtime.", "holdfast.kafka.")
"""Packages whose modules meet the outside world."""

EPOCH_S = 1_700_000_000.0
"""The wall clock at the beginning of each simulation."""


def machine(kernel: Kernel) -> dict[int, Any]:
    """Stand-ins for time and threads, by the identity of what they stand for."""
    sleep = kernel.sleep

    def clock() -> float:
        return kernel.now

    def wall() -> float:
        return EPOCH_S + kernel.now

    fake_time = SimpleNamespace(
        monotonic=clock,
        perf_counter=clock,
        sleep=sleep,
        time=wall,
        time_ns=lambda: int(wall() * 1e9),
    )
    thread = _bound(SimThread, kernel)
    event = _bound(SimEvent, kernel)
    simple_queue = _bound(SimQueue, kernel)
    fake_threading = SimpleNamespace(Thread=thread, Event=event, Lock=threading.Lock)
    fake_queue = SimpleNamespace(SimpleQueue=simple_queue, Queue=simple_queue, Empty=queue.Empty)

    def wait_for(futures: Any, timeout: float | None = None) -> None:
        deadline = None if timeout is None else kernel.now + timeout
        for future in futures:
            wait_for_future(kernel, future, None if deadline is None else deadline - kernel.now)

    pairs: list[tuple[Any, Any]] = [
        (time, fake_time),
        (time.monotonic, clock),
        (time.sleep, sleep),
        (time.time, wall),
        (threading, fake_threading),
        (threading.Thread, thread),
        (threading.Event, event),
        (queue, fake_queue),
        (queue.SimpleQueue, simple_queue),
        (concurrent.futures.wait, wait_for),
    ]
    return {id(real): stand_in for real, stand_in in pairs}


@contextmanager
def installed(stand_ins: Mapping[int, Any]) -> Iterator[None]:
    """Let the library's working modules see stand-ins inside the block."""
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, module in list(sys.modules.items()):
            if not name.startswith(_WORKING):
                continue
            names = vars(module)
            for attribute, value in list(names.items()):
                stand_in = stand_ins.get(id(value))
                if stand_in is not None:
                    replaced.append((names, attribute, value))
                    names[attribute] = stand_in
        yield
    finally:
        for names, attribute, value in reversed(replaced):
            names[attribute] = value


def wait_for_future(kernel: Kernel, future: Future[Any], timeout: float | None) -> None:
    """Wait in a simulated thread until a future has its result."""
    if not future.done():
        signal = Signal(kernel)
        future.add_done_callback(lambda _: signal.fire())
        kernel.wait(timeout, signal)


def _bound(kind: Callable[..., Any], kernel: Kernel) -> Callable[..., Any]:
    return lambda *arguments, **options: kind(kernel, *arguments, **options)


class SimThread:
    """A `threading.Thread` of a simulated process."""

    def __init__(
        self,
        kernel: Kernel,
        target: Callable[..., None],
        args: tuple[Any, ...] = (),
        name: str = "thread",
        daemon: bool = True,  # noqa: ARG002 - a thread of a simulated process dies with it in any case
    ) -> None:
        self._kernel = kernel
        self._work = lambda: target(*args)
        self._name = name
        self._task: Task | None = None

    def start(self) -> None:
        """Begin to run."""
        process = self._kernel.process
        assert process is not None
        self._task = self._kernel.spawn(process, self._work, self._name)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self._task is not None and self._task.finished is not None:
            self._kernel.wait(timeout, self._task.finished)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._task is not None and self._task.finished is not None


class SimEvent:
    """A `threading.Event`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._signal = Signal(kernel)
        self._is_set = False

    def set(self) -> None:
        """Let everybody go on who waits, now and later."""
        self._is_set = True
        self._signal.fire()

    def clear(self) -> None:
        """Let those wait who come from now on."""
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or the timeout is over."""
        if not self._is_set:
            self._kernel.wait(timeout, self._signal)
        return self._is_set


class SimQueue:
    """A `queue.SimpleQueue`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._items: deque[Any] = deque()
        self._signal = Signal(kernel)

    def put(self, item: Any) -> None:
        """Add something."""
        self._items.append(item)
        self._signal.fire()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest."""
        if not self._items and block:
            self._kernel.wait(timeout, self._signal)
        if not self._items:
            raise queue.Empty
        return self._items.popleft()

    def get_nowait(self) -> Any:
        """Take the oldest, without waiting."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Whether nothing is there."""
        return not self._items

    def qsize(self) -> int:
        """How many are there."""
        return len(self._items)


class Current:
    """The process whose thread runs now; clients and stores belong to the one that makes them."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __call__(self) -> Process:
        """Return it."""
        process = self._kernel.process
        assert process is not None, "only a simulated process has clients"
        return process

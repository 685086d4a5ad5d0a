"""A machine whose clock, threads and processes are the simulation's own.

One heap of events in the order of virtual time is all there is. A simulated thread is a greenlet: it runs
until it waits for something, and the kernel goes on with the next event. Nothing happens at the same time and
nothing depends on the real clock, so that the same seed makes the same run, event by event.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from holdfast.extras import with_extra
from holdfast.testing.simulation.failures import SimulationError

try:
    from greenlet import getcurrent, greenlet
except ImportError as missing:
    raise SimulationError(f"a simulation needs the package greenlet: {with_extra('simulation')}") from missing

_LOOK_STEPS = 8
"""Events after which is looked whether what is waited for has come."""


class Killed(BaseException):
    """Ends a simulated thread where it waits. Nobody may catch it for good: the process is dead."""


class Signal:
    """Something that threads wait for; each time it fires, all that wait go on."""

    __slots__ = ("_kernel", "_waiting")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._waiting: list[tuple[Task, int]] = []

    def add(self, task: Task) -> None:
        """Let a thread wait, in its present wait."""
        self._waiting.append((task, task.wait))

    def fire(self) -> None:
        """Let everybody go on."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for task, wait in waiting:
                self._kernel.at(0.0, self._kernel.resume, task, wait, True)


class Process:
    """A simulated process: its threads, and whether it lives.

    Args:
        name: for the trace.

    Attributes:
        alive: whether it was not killed and has not ended.
        paused: whether it is stopped as by SIGSTOP: its threads and its clients' background work stand still.
        at_exit: called when it dies, by whatever end.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.at_exit: list[Callable[[], None]] = []
        self.tasks: list[Task] = []
        self.backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []


class Task:
    """One simulated thread."""

    __slots__ = ("finished", "green", "name", "process", "wait")

    def __init__(self, kernel: Kernel, process: Process, function: Callable[[], None], name: str) -> None:
        self.process = process
        self.name = name
        self.wait = 0
        self.finished: Signal | None = Signal(kernel)
        self.green = greenlet(lambda _: self._run(function), parent=kernel.hub)

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Killed:
            pass
        finally:
            finished, self.finished = self.finished, None
            if finished is not None:
                finished.fire()
            self.process.tasks.remove(self)


class Kernel:
    """Virtual time and what happens in it.

    Args:
        seed: decides everything that is left to chance.

    Attributes:
        now: seconds since the beginning.
        rng: the only source of chance.
        steps: events so far.
        step_fault: asked at every step of a process, what should befall it there; see `step`.
    """

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self.steps = 0
        self.hub = getcurrent()
        self.step_fault: Callable[[Process, str], None] | None = None
        self.trace: list[str] | None = None
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...], Process | None]] = []
        self._order = 0
        self._tasks: dict[greenlet, Task] = {}
        self._current: Task | None = None

    # -- events

    def at(
        self, delay: float, function: Callable[..., None], *arguments: Any, process: Process | None = None
    ) -> None:
        """Call a function after `delay` seconds; as a part of a process, it shares the process's fate."""
        self._order += 1
        heapq.heappush(self._events, (self.now + delay, self._order, function, arguments, process))

    def run(self, until: Callable[[], bool], deadline: float, most_steps: int) -> bool:
        """Go on until something holds or the deadline is there; tells whether it holds.

        Raises:
            SimulationError: more steps than anybody needs: something goes round in a circle.
        """
        events = self._events
        while True:
            # Not after every event: it may be much to look at.
            if self.steps % _LOOK_STEPS == 0 and until():
                return True
            if not events or events[0][0] > deadline:
                self.now = max(self.now, deadline)
                return until()
            self.now, _, function, arguments, process = heapq.heappop(events)
            self.steps += 1
            if self.steps > most_steps:
                raise SimulationError(f"no end after {most_steps} steps, at {self.now:.3f} s of virtual time")
            if process is None:
                function(*arguments)
            elif process.paused:
                process.backlog.append((function, arguments))
            elif process.alive:
                function(*arguments)

    def say(self, *words: object) -> None:
        """Add a line to the trace, if one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.now:9.4f}  {' '.join(map(str, words))}")

    # -- threads

    @property
    def process(self) -> Process | None:
        """The process whose thread runs now."""
        return self._current.process if self._current is not None else None

    def spawn(self, process: Process, function: Callable[[], None], name: str) -> Task:
        """Start a thread."""
        task = Task(self, process, function, name)
        process.tasks.append(task)
        self.at(0.0, self.resume, task, 0, True)
        return task

    def resume(self, task: Task, wait: int, value: bool) -> None:
        """Let a thread go on, if it still is in that wait."""
        if task.wait != wait or task.finished is None:
            return
        if task.process.paused:
            task.process.backlog.append((self.resume, (task, wait, value)))
            return
        task.wait += 1
        self._current = task
        try:
            task.green.switch(value)
        finally:
            self._current = None

    def wait(self, seconds: float | None, *signals: Signal) -> bool:
        """Wait in a thread, at most `seconds`, until one of the signals fires.

        Returns:
            Whether a signal fired.

        Raises:
            Killed: the process died meanwhile.
        """
        task = self._current
        if task is None:
            raise SimulationError("only a simulated thread can wait")
        if not task.process.alive:
            raise Killed
        for signal in signals:
            signal.add(task)
        if seconds is not None:
            self.at(max(seconds, 0.0), self.resume, task, task.wait, False)
        result = bool(self.hub.switch())
        if not task.process.alive:
            raise Killed
        return result

    def sleep(self, seconds: float) -> None:
        """Wait in a thread."""
        self.wait(seconds)

    def step(self, what: str) -> None:
        """A moment in a process at which it may be killed or stopped."""
        task = self._current
        if task is None:
            return
        if not task.process.alive:
            raise Killed
        if self.step_fault is not None:
            self.step_fault(task.process, what)
            if not task.process.alive:
                raise Killed
            if task.process.paused:
                self.wait(0.0)

    # -- processes

    def kill(self, process: Process) -> None:
        """End a process as SIGKILL does."""
        if not process.alive:
            return
        process.alive = False
        process.paused = False
        process.backlog.clear()
        for function in process.at_exit:
            function()
        current = self._current
        for task in list(process.tasks):
            if task is not current:
                if current is None:
                    self._end(task)
                else:
                    self.at(0.0, self._end, task)

    def _end(self, task: Task) -> None:
        if task.finished is not None:
            task.wait += 1
            self._current = task
            try:
                task.green.throw(Killed)
            except Killed:
                # It had not begun to run, so nobody caught it.
                task.finished = None
                task.process.tasks.remove(task)
            finally:
                self._current = None

    def pause(self, process: Process) -> None:
        """Stop a process as SIGSTOP does."""
        if process.alive:
            process.paused = True

    def unpause(self, process: Process) -> None:
        """Let a stopped process go on."""
        if process.alive and process.paused:
            process.paused = False
            backlog, process.backlog = process.backlog, []
            for function, arguments in backlog:
                self.at(0.0, function, *arguments, process=process)

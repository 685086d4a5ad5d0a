"""Workers of an application, one supervisor for each, as faults see them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import psutil

from holdfast.chaos.lab import processes
from holdfast.chaos.network.hosts import HOST_VARIABLE
from holdfast.chaos.undo.actions import Action
from holdfast.errors import FaultFailed
from holdfast.runtime.status import LEADING
from holdfast.runtime.supervisor import STOP_TIMEOUT_S, Supervisor, WorkerSpec, WorkerView

_POLL_S = 0.05


def worker_name(index: int) -> str:
    """The name of a worker."""
    return f"worker-{index}"


def on_host(spec: WorkerSpec, name: str) -> WorkerSpec:
    """A worker that is the host `name` on an isolated network; on a plain one that means nothing."""
    return replace(spec, environment={**spec.environment, HOST_VARIABLE: name})


class Workers:
    """Workers by the names ``worker-0``, ``worker-1``, ... Each is supervised from a thread of its own.

    Args:
        specs: how each is started, by its name. Those that are not started stay down until `start`.
        shards: how many shards the workers of each processor run together when all is well. Of a processor
            that is not named, somebody has to work: Faust hands its partitions out as it likes, and only
            one candidate leads.
    """

    def __init__(self, specs: Mapping[str, WorkerSpec], shards: Mapping[str, int]) -> None:
        self._slots = {name: _Slot(name, on_host(spec, name)) for name, spec in specs.items()}
        self._shards = shards

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all that run, together."""
        threads = [threading.Thread(target=slot.stop) for slot in self._slots.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @property
    def names(self) -> Sequence[str]:
        """All workers, also those that do not run."""
        return tuple(self._slots)

    @property
    def running(self) -> Sequence[str]:
        """Those that are supervised."""
        return tuple(name for name, slot in self._slots.items() if slot.view is not None)

    def views(self) -> dict[str, WorkerView]:
        """What is known of each worker that is supervised."""
        return {name: view for name, slot in self._slots.items() if (view := slot.view) is not None}

    @property
    def is_whole(self) -> bool:
        """Whether the workers run all shards together, each of them some if there are enough."""
        counts = self._running_shards()
        return self._shards.keys() <= counts.keys() and all(
            _is_whole(each, self._shards.get(processor)) for processor, each in counts.items()
        )

    def _running_shards(self) -> dict[str, list[int]]:
        """How many shards each supervised worker runs, by processor; a leader has one."""
        found: dict[str, list[int]] = {}
        for view in self.views().values():
            leads = view.status.role.startswith(LEADING)
            found.setdefault(view.spec.processor, []).append(view.status.shards.get("running", int(leads)))
        return found

    def incarnation(self, name: str) -> str | None:
        """Its pid and when it began."""
        return processes.incarnation(self._slots[name].process())

    def is_suspended(self, name: str) -> bool:
        """Whether it has SIGSTOP."""
        return processes.is_suspended(self._slots[name].process())

    def crash(self, name: str) -> None:
        """SIGKILL; its supervisor starts it again."""
        processes.send(self._slots[name].process(), signal.SIGKILL)

    def kill(self, name: str) -> None:
        """SIGKILL, together with its supervisor: nobody starts it again, as when its machine is gone."""
        self._slots[name].kill()

    def stop(self, name: str) -> None:
        """SIGTERM."""
        self._slots[name].stop()

    def start(self, name: str) -> None:
        """Start it, if it does not run."""
        self._slots[name].start()

    def suspend(self, name: str) -> None:
        """SIGSTOP."""
        processes.send(self._slots[name].process(), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        processes.send(self._slots[name].process(), signal.SIGCONT)

    def undo_of_suspend(self, name: str) -> Action | None:
        """SIGCONT; then it sees that its supervisor is gone, and ends."""
        return processes.undo_of_suspend(self._slots[name].process())

    def undo_of_end(self, _name: str) -> Action | None:
        """Nothing: workers end with their supervisor, which is our process."""
        return None

    def wait_until_whole(self, timeout: float) -> None:
        """Wait until the supervised workers run all shards.

        Raises:
            FaultFailed: not in time; tells what each one does.
        """
        deadline = time.monotonic() + timeout
        while not self.is_whole:
            if time.monotonic() > deadline:
                shards = sum(self._shards.values())
                raise FaultFailed(f"not all {shards} shards run within {timeout:.0f} s: {self._told()}")
            time.sleep(_POLL_S)

    def _told(self) -> str:
        states = (
            f"{name} ({view.spec.processor}) {view.state}, {view.status.role or _shards_of(view)}"
            f"{', ' if view.error else ''}{view.error}"
            for name, view in self.views().items()
        )
        return "; ".join(states) or "no worker is up"


def _is_whole(counts: Sequence[int], shards: int | None) -> bool:
    """Whether workers with so many shards each are all of a processor's."""
    if shards is None:
        return any(counts)
    return sum(counts) == shards and sum(map(bool, counts)) == min(len(counts), shards)


def _shards_of(view: WorkerView) -> str:
    return f"shards {dict(view.status.shards)}"


class _Slot:
    """One worker, its supervisor and the thread that serves it."""

    def __init__(self, name: str, spec: WorkerSpec) -> None:
        self._name = name
        self._spec = spec
        # Held while the supervisor is used: it is for one thread at a time.
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None

    @property
    def view(self) -> WorkerView | None:
        """What its supervisor knows of it."""
        supervisor = self._supervisor
        return supervisor.views[0] if supervisor is not None else None

    def process(self) -> psutil.Process | None:
        """Its process, if it has one."""
        view = self.view
        if view is None or view.pid is None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(view.pid)
        return None

    def start(self) -> None:
        """Start it under a new supervisor, unless there is one."""
        with self._lock:
            if self._supervisor is not None:
                return
            self._supervisor = supervisor = Supervisor([replace(self._spec)])
            supervisor.start()
        threading.Thread(target=self._serve, args=(supervisor,), name=self._name, daemon=True).start()

    def stop(self) -> None:
        """End it in good order; a worker that stands still is killed at once, since it hears nothing."""
        process = self.process()
        self._end(0.0 if processes.is_suspended(process) else STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL it before its supervisor can start it again."""
        with self._lock:
            process = self.process()
            if process is not None:
                processes.send(process, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._end(0.0)

    def _end(self, timeout: float) -> None:
        with self._lock:
            supervisor, self._supervisor = self._supervisor, None
            if supervisor is not None:
                supervisor.stop(timeout)

    def _serve(self, supervisor: Supervisor) -> None:
        while True:
            with self._lock:
                if self._supervisor is not supervisor:
                    return
                supervisor.poll(_POLL_S)
            # Without a pause the lock would come back to us before anybody else.
            time.sleep(_POLL_S / 10)

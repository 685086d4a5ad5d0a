"""Workers of an application, one supervisor for each, as faults see them."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from holdfast.chaos.lab import processes
from holdfast.chaos.lab.slot import POLL_S, Slot
from holdfast.chaos.network.hosts import HOST_VARIABLE
from holdfast.chaos.undo.actions import Action
from holdfast.errors import FaultFailed
from holdfast.runtime.status import LEADING
from holdfast.runtime.supervisor import WorkerSpec, WorkerState, WorkerView


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
        self._slots = {name: Slot(name, on_host(spec, name)) for name, spec in specs.items()}
        self._shards = shards
        self._killed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all that run, together."""
        self._stop(self._slots.values())

    def stop_of(self, processor: str) -> None:
        """Stop all that run of one processor, together."""
        self._stop(slot for slot in self._slots.values() if slot.spec.processor == processor)

    def _stop(self, slots: Iterable[Slot]) -> None:
        threads = [threading.Thread(target=self._stop_one, args=(slot,)) for slot in slots]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _stop_one(self, slot: Slot) -> None:
        if killed := slot.stop():
            self._killed.append(killed)

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
    def records(self) -> int:
        """What all of them have counted, over all their lives."""
        return sum(slot.records for slot in self._slots.values())

    @property
    def failures(self) -> Sequence[str]:
        """What went wrong with any of them until now, in words, also in lives that are over.

        It gave up, a shard of it stopped, or it had to be killed when all were to end.
        """
        found = (failure for slot in self._slots.values() for failure in slot.failures)
        return (*found, *self._killed)

    @property
    def crashes(self) -> Counter[str]:
        """How often any of them ended by itself and could not say why, by how it ended."""
        return sum((slot.crashes for slot in self._slots.values()), Counter[str]())

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

    def takes_part(self, name: str) -> bool:
        """Whether its process has come up, and has said so."""
        view = self._slots[name].view
        return view is not None and view.state is WorkerState.RUNNING

    def is_suspended(self, name: str) -> bool:
        """Whether it has SIGSTOP."""
        return processes.is_suspended(self._slots[name].process())

    def crash(self, name: str) -> None:
        """SIGKILL; its supervisor starts it again."""
        processes.send(self._slots[name].process(), signal.SIGKILL)

    def kill(self, name: str) -> None:
        """SIGKILL, together with its supervisor: nobody starts it again, as when its machine is gone."""
        self._slots[name].kill()

    def stop(self, name: str) -> bool:
        """SIGTERM.

        Returns:
            That it was not killed.

        Raises:
            FaultFailed: it did not end, and had to be killed.
        """
        if killed := self._slots[name].stop():
            raise FaultFailed(killed)
        return False

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
            time.sleep(POLL_S)

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

"""Faults of disks: full, or slow."""

from __future__ import annotations

import contextlib
import threading
import time

from holdfast.chaos.faults.fault import Evidence, Fault
from holdfast.chaos.lab.disks import Disk
from holdfast.chaos.lab.ports import Members
from holdfast.chaos.undo.actions import Action, Delete, Thaw, set_frozen
from holdfast.errors import FaultFailed

PERIOD_S = 1.0
"""A slow disk stands still for a part of each period."""

UP_S = 3.0
"""Seconds for which brokers have to be up after their disks were full: one that could not write last of all
halts a moment later, when there is room again."""

UP_WITHIN_S = 30.0
"""Seconds in which brokers that ended are started again."""

_LOOK_S = 0.1


class DiskFull(Fault):
    """The disk of a broker has no room. Kafka ends a broker that cannot write to its only log folder.

    Args:
        disks: the disks, by the broker's name.
        brokers: the brokers: one that ended for want of room is started again.
    """

    def __init__(self, disks: dict[str, Disk], brokers: Members) -> None:
        self._disks = disks
        self._brokers = brokers

    def undo(self) -> tuple[Action, ...]:
        """Delete what fills them."""
        return tuple(Delete(path=disk.ballast) for disk in self._disks.values())

    def begin(self) -> Evidence:
        """Fill them; each is seen to have no byte left."""
        taken = {name: disk.fill() for name, disk in self._disks.items()}
        left = {name: disk.free for name, disk in self._disks.items()}
        if any(left.values()):
            raise FaultFailed(f"bytes are still free: {left}")
        return {"filled": taken, "free": left}

    def end(self) -> Evidence:
        """Delete what filled them, and start the brokers that ended, or are just about to.

        Raises:
            FaultFailed: one ends again and again.
        """
        for disk in self._disks.values():
            disk.ballast.unlink(missing_ok=True)
        ended = self._keep_up()
        return {"ended": ended, "free": {name: disk.free for name, disk in self._disks.items()}}

    def _keep_up(self) -> list[str]:
        """Start whoever is down, until all have been up for a while; return who was down."""
        ended: dict[str, None] = {}
        up_since = time.monotonic()
        deadline = up_since + UP_WITHIN_S
        while time.monotonic() - up_since < UP_S:
            if down := [name for name in self._disks if self._brokers.incarnation(name) is None]:
                if time.monotonic() > deadline:
                    raise FaultFailed(f"{', '.join(down)} ends again and again, though its disk has room")
                for name in down:
                    self._brokers.start(name)
                ended |= dict.fromkeys(down)
                up_since = time.monotonic()
            time.sleep(_LOOK_S)
        return list(ended)


class DiskSlow(Fault):
    """Writes to a disk wait for a part of every second (the file system is frozen meanwhile).

    Args:
        disks: the disks, by the broker's name.
        stall_s: seconds of each period that it stands still, below `PERIOD_S`; `PERIOD_S` for all the time.
    """

    def __init__(self, disks: dict[str, Disk], stall_s: float) -> None:
        self._disks = disks
        self._stall_s = min(stall_s, PERIOD_S)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._stall, daemon=True)
        self._stalled = 0.0
        self._error: OSError | None = None

    def undo(self) -> tuple[Action, ...]:
        """Thaw them."""
        return tuple(Thaw(path=disk.mount) for disk in self._disks.values())

    def begin(self) -> Evidence:
        """Freeze them once, as a trial, and then again and again."""
        try:
            self._freeze(frozen=True)
        except OSError as error:
            raise FaultFailed(
                f"a disk cannot be made to wait: {error.strerror or error}; it takes root"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                self._freeze(frozen=False)
        self._thread.start()
        return {"stalls": f"{self._stall_s:g} s of each {PERIOD_S:g} s", "disks": list(self._disks)}

    def end(self) -> Evidence:
        """Thaw them, and tell for how long they stood still."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._freeze(frozen=False)
        if self._error is not None:
            raise FaultFailed(f"a disk could not be made to wait again: {self._error}")
        return {"stalled seconds": round(self._stalled, 2)}

    def _stall(self) -> None:
        try:
            while not self._over.is_set():
                began = time.monotonic()
                self._freeze(frozen=True)
                self._over.wait(self._stall_s)
                if self._stall_s < PERIOD_S:
                    self._freeze(frozen=False)
                self._stalled += time.monotonic() - began
                self._over.wait(PERIOD_S - self._stall_s)
        except OSError as error:
            self._error = error

    def _freeze(self, *, frozen: bool) -> None:
        for disk in self._disks.values():
            set_frozen(disk.mount, frozen=frozen)

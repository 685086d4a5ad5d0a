"""Faults that end or suspend servers: brokers and workers alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from holdfast.chaos.faults.fault import Evidence, Fault, seen
from holdfast.chaos.lab.ports import Members, Supervised
from holdfast.chaos.undo.actions import Action
from holdfast.errors import FaultFailed

BACK_S = 15.0
"""Seconds for one that is down when a fault is to meet it: a supervisor waits up to 10 s before a start."""

WHOLE_S = 90.0
"""Seconds for all servers to serve again after a fault: a start on a busy machine, and its loading."""


class _OnMembers(Fault):
    """A fault on some of the servers of a kind.

    Args:
        members: the servers.
        names: those that it happens to.
    """

    def __init__(self, members: Members, names: Sequence[str]) -> None:
        self._members = members
        self._names = tuple(names)
        self._before: dict[str, str] = {}
        self._begun: list[str] = []

    def _require_alive(self) -> None:
        """Note who they are. One that has ended by itself just now is waited for."""
        for name in self._names:
            try:
                seen(partial(self._is_up, name), f"{name} is up", BACK_S)
            except FaultFailed as failed:
                raise FaultFailed(f"{failed}; another fault has ended it, or it ends by itself") from None
            self._before[name] = self._members.incarnation(name) or ""

    def _is_gone(self, name: str) -> bool:
        return self._members.incarnation(name) != self._before[name]

    def _is_up(self, name: str) -> bool:
        return self._members.incarnation(name) is not None

    def _goes_on(self, name: str) -> bool:
        return not self._members.is_suspended(name)

    def _is_new(self, name: str) -> bool:
        return self._is_up(name) and self._is_gone(name)

    def _actions(self, undo: Callable[[str], Action | None]) -> tuple[Action, ...]:
        return tuple(action for name in self._names if (action := undo(name)) is not None)


def _killed(names: Sequence[str]) -> Evidence:
    """What is told of those for whom SIGTERM was not enough: another fault happened to them."""
    return {"killed": list(names)} if names else {}


class Ended(_OnMembers):
    """Servers are ended, and started again when the fault is over.

    Args:
        members: the servers.
        names: those that it happens to.
        orderly: they may finish (SIGTERM) instead of being killed (SIGKILL).
    """

    def __init__(self, members: Members, names: Sequence[str], *, orderly: bool) -> None:
        super().__init__(members, names)
        self._end: Callable[[str], bool | None] = members.stop if orderly else members.kill

    def undo(self) -> tuple[Action, ...]:
        """Start them again."""
        return self._actions(self._members.undo_of_end)

    def begin(self) -> Evidence:
        """End them; the process of each is seen to be gone. Who had to be killed instead is told."""
        self._require_alive()
        killed = []
        for name in self._names:
            self._begun.append(name)
            if self._end(name):
                killed.append(name)
        for name in self._names:
            seen(partial(self._is_gone, name), f"{name} is gone")
        return {"ended": dict(self._before), **_killed(killed)}

    def end(self) -> Evidence:
        """Start them; each is seen to be another process."""
        for name in self._begun:
            self._members.start(name)
        for name in self._begun:
            seen(partial(self._is_new, name), f"{name} is back")
        return {"started": {name: self._members.incarnation(name) for name in self._begun}}


class Crashed(_OnMembers):
    """Servers are killed, and started again by those who watch them. It is an instant.

    Args:
        members: the servers.
        names: those that it happens to.
    """

    def __init__(self, members: Supervised, names: Sequence[str]) -> None:
        super().__init__(members, names)
        self._crash = members.crash

    def begin(self) -> Evidence:
        """Kill them; each is seen to be gone."""
        self._require_alive()
        for name in self._names:
            self._begun.append(name)
            self._crash(name)
        for name in self._names:
            seen(partial(self._is_gone, name), f"{name} is gone")
        return {"crashed": dict(self._before)}

    def end(self) -> Evidence:
        """Wait until each was started again, which takes longer after each of several crashes in a row."""
        for name in self._begun:
            seen(partial(self._is_new, name), f"{name} is back", WHOLE_S)
        return {"started": {name: self._members.incarnation(name) for name in self._begun}}


class Suspended(_OnMembers):
    """Servers stand still (SIGSTOP, pause) with their connections open, and go on when the fault is over.

    Args:
        members: the servers.
        names: those that it happens to.
    """

    def __init__(self, members: Members, names: Sequence[str]) -> None:
        super().__init__(members, names)
        self._stood_still = False

    def undo(self) -> tuple[Action, ...]:
        """Let them go on. One that is down is waited for: each life is another process to let go on.

        Raises:
            FaultFailed: one stays down.
        """
        self._require_alive()
        return self._actions(self._members.undo_of_suspend)

    def begin(self) -> Evidence:
        """Suspend them, in the lives that `undo` is about; each is seen suspended.

        Raises:
            FaultFailed: one has ended since: nobody else would know whom to let go on.
        """
        self._require_same()
        for name in self._names:
            self._begun.append(name)
            self._members.suspend(name)
        for name in self._names:
            seen(partial(self._members.is_suspended, name), f"{name} stands still")
        # Who began another life between the look and the signal was suspended in that one.
        self._require_same()
        self._stood_still = True
        return {"suspended": dict(self._before)}

    def _require_same(self) -> None:
        if other := [name for name in self._names if self._is_gone(name)]:
            raise FaultFailed(f"{', '.join(other)} ended just when it was to be suspended")

    def end(self) -> Evidence:
        """Let them go on.

        Raises:
            FaultFailed: one did not live through it: a supervisor takes a worker that is silent for long for
                one that hangs.
        """
        killed = [name for name in self._begun if self._is_gone(name)] if self._stood_still else []
        for name in self._begun:
            self._members.resume(name)
        for name in self._begun:
            seen(partial(self._goes_on, name), f"{name} goes on")
        if killed:
            raise FaultFailed(
                f"{', '.join(killed)} was killed while it stood still, by its supervisor if that heard "
                "nothing for too long: this was no freeze"
            )
        return {"resumed": {name: self._members.incarnation(name) for name in self._begun}}


class Rolled(_OnMembers):
    """Servers are restarted one after the other, each when all serve again. It is an instant with a length.

    Of a single one it is asked whether that serves again. The others may be down for reasons of their own.

    Args:
        members: the servers.
        names: those that it happens to, in this order.
        pause_s: seconds from when all serve again to the next restart.
    """

    def __init__(self, members: Members, names: Sequence[str], pause_s: float = 0.0) -> None:
        super().__init__(members, names)
        self._pause_s = pause_s

    def begin(self) -> Evidence:
        """Restart each in turn, until the run is over. Who had to be killed for it is told."""
        self._require_alive()
        seconds: dict[str, float] = {}
        killed = []
        for number, name in enumerate(self._names):
            if self.over.wait(self._pause_s if number else 0.0):
                raise FaultFailed(f"the run ended when {number} of {len(self._names)} had been restarted")
            if self._members.stop(name):
                killed.append(name)
            self._begun.append(name)
            self._members.start(name)
            took = seen(partial(self._is_new, name), f"{name} is back", WHOLE_S)
            if len(self._names) > 1:
                self._members.wait_until_whole(WHOLE_S)
            else:
                seen(partial(self._members.takes_part, name), f"{name} serves again", WHOLE_S)
            seconds[name] = round(took, 3)
        return {"restarted": seconds, **_killed(killed)}

    def end(self) -> Evidence:
        """It is over when it has happened; one that failed in between is started."""
        for name in self._names:
            if not self._is_up(name):
                self._members.start(name)
        return {}


class Added(Fault):
    """More servers than before, until the fault is over.

    Args:
        members: all servers.
        names: those that are added.
    """

    def __init__(self, members: Supervised, names: Sequence[str]) -> None:
        self._members = members
        self._names = tuple(names)

    def begin(self) -> Evidence:
        """Start them; each is seen to have come up."""
        for name in self._names:
            self._members.start(name)
        for name in self._names:
            seen(partial(self._members.takes_part, name), f"{name} runs", WHOLE_S)
        return {"started": {name: self._members.incarnation(name) for name in self._names}}

    def end(self) -> Evidence:
        """Stop them; each is seen to be gone."""
        for name in self._names:
            self._members.stop(name)
        for name in self._names:
            seen(partial(self._is_gone, name), f"{name} is gone")
        return {"stopped": list(self._names)}

    def _is_gone(self, name: str) -> bool:
        return self._members.incarnation(name) is None

"""What faults need of brokers and workers: processes of this machine, or containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast.chaos.undo.actions import Action


class Members(Protocol):
    """Servers of one kind that can be ended, suspended and started again, by name (``broker-1``).

    Calls block until it has happened. They may come from several threads, for different members.
    """

    @property
    def names(self) -> Sequence[str]:
        """All of them, whether they run or not."""
        ...

    def incarnation(self, name: str) -> str | None:
        """What tells one life of a member from the next (pid and start time); None if it is down."""
        ...

    def is_suspended(self, name: str) -> bool:
        """Whether it exists and does nothing."""
        ...

    def kill(self, name: str) -> None:
        """End it at once, with no chance to tell anybody."""
        ...

    def stop(self, name: str) -> bool:
        """End it in good order.

        Returns:
            Of a broker: whether it did not end so, and had to be killed. The last of several that are stopped
            together does not: nobody is left who lets it go.

        Raises:
            FaultFailed: of a worker: it did not end so, and had to be killed.
        """
        ...

    def start(self, name: str) -> None:
        """Start it again. Whether it serves is asked elsewhere."""
        ...

    def suspend(self, name: str) -> None:
        """Take the processor from it; its connections stay open."""
        ...

    def resume(self, name: str) -> None:
        """Let it go on."""
        ...

    def undo_of_suspend(self, name: str) -> Action | None:
        """What lets it go on, for a stranger."""
        ...

    def undo_of_end(self, name: str) -> Action | None:
        """What starts it again, for a stranger; None if it ends with us anyway."""
        ...

    def takes_part(self, name: str) -> bool:
        """Whether it serves with the others: of a broker that it is registered, of a worker that it is up."""
        ...

    def wait_until_whole(self, timeout: float) -> None:
        """Wait until all of them serve.

        Raises:
            HoldfastError: not in time; says what is missing.
        """
        ...


class Upgradable(Members, Protocol):
    """Servers that begin with an older release, and that another start brings to the present one."""

    def release(self, name: str) -> str | None:
        """The release that a member runs; None if it is down."""
        ...

    def upgrade(self) -> None:
        """Let members that are started from now on run the present release.

        Raises:
            HoldfastError: it cannot be had.
        """
        ...


class Supervised(Members, Protocol):
    """Servers that somebody starts again when they die."""

    def crash(self, name: str) -> None:
        """SIGKILL; somebody notices and starts it again."""
        ...

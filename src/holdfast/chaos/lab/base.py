"""What a run needs of brokers that may be broken, wherever they are."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from holdfast.chaos.experiment.catalogue import ClusterKind
from holdfast.chaos.lab.clocks import Clocks
from holdfast.chaos.lab.disks import Disks
from holdfast.chaos.lab.ports import Members
from holdfast.chaos.network.isolated import IsolatedNetwork
from holdfast.chaos.undo.journal import Journal


class Lab(Protocol):
    """Brokers to be broken. Used in a ``with`` statement."""

    @property
    def kind(self) -> ClusterKind:
        """Where the brokers are, as experiments say it."""
        ...

    @property
    def bootstrap_servers(self) -> str:
        """The value for ``bootstrap.servers``."""
        ...

    @property
    def brokers(self) -> Members:
        """The brokers as faults see them."""
        ...

    @property
    def journal(self) -> Journal:
        """What is under way, and what undoes it."""
        ...

    @property
    def network(self) -> IsolatedNetwork | None:
        """The network, if it can be disturbed."""
        ...

    @property
    def disks(self) -> Disks | None:
        """The disks, if they can be full or slow."""
        ...

    @property
    def clocks(self) -> Clocks | None:
        """The clocks, if they can be set."""
        ...

    def save_logs(self, folder: Path) -> None:
        """Write what each broker has said lately into a folder, for whoever looks for what was the matter.

        Raises:
            OSError: it cannot be written.
            HoldfastError: it cannot be had.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

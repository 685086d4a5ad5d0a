"""A cluster of somebody else, on which workers are broken, and no broker is touched."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from holdfast.chaos.experiment.catalogue import ClusterKind
from holdfast.chaos.lab.brokers import broker_name
from holdfast.chaos.lab.fair_game import require_fair_game
from holdfast.chaos.lab.guarded import GuardedLab
from holdfast.chaos.lab.leftovers import new_prefix, removal
from holdfast.chaos.undo.actions import Action
from holdfast.errors import FaultFailed
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.identity import identify

_LOOK_S = 0.1
_MARGIN_S = 15.0
"""Seconds beyond a session in which a group without members can be deleted: brokers answer, and topics go."""


class ForeignBrokers:
    """Brokers that belong to others: they can be named, and nothing can be done to them.

    Args:
        servers: where some of them are.
        nodes: ids of all of them.
        prefix: of the run's topics, the only ones that it may wait for.
    """

    def __init__(self, servers: str, nodes: Sequence[int], prefix: str) -> None:
        self._servers = servers
        self._names = tuple(map(broker_name, nodes))
        self._prefix = prefix

    @property
    def names(self) -> Sequence[str]:
        """All brokers."""
        return self._names

    def incarnation(self, name: str) -> str | None:
        """Not known: others look after them."""
        return f"{name} of {self._servers}"

    def is_suspended(self, _name: str) -> bool:
        """Not by us."""
        return False

    def kill(self, name: str) -> None:
        """Never."""
        _refuse(name)

    def stop(self, name: str) -> bool:
        """Never."""
        _refuse(name)

    def start(self, _name: str) -> None:
        """Nothing: we have not ended it."""

    def suspend(self, name: str) -> None:
        """Never."""
        _refuse(name)

    def resume(self, _name: str) -> None:
        """Nothing: we have not suspended it."""

    def undo_of_suspend(self, _name: str) -> Action | None:
        """Nothing."""
        return None

    def undo_of_end(self, _name: str) -> Action | None:
        """Nothing."""
        return None

    def takes_part(self, _name: str) -> bool:
        """As far as we know."""
        return True

    def wait_until_whole(self, timeout: float) -> None:
        """Wait until somebody leads every partition of the run's topics.

        Raises:
            FaultFailed: not in time; names the topics.
            ClusterError: the brokers do not answer.
        """
        deadline = time.monotonic() + timeout
        admin = TopicAdmin(self._servers)
        ours = [name for name in identify(self._servers).topics if name.startswith(self._prefix)]
        while alone := [name for name, state in admin.topics(ours).items() if state.leaderless]:
            if time.monotonic() > deadline:
                raise FaultFailed(f"nobody leads all of {', '.join(alone)} after {timeout:.0f} s")
            time.sleep(_LOOK_S)


def _refuse(name: str) -> NoReturn:
    raise FaultFailed(f"{name} is a broker of a cluster of kind `external`: it is not ours to break")


class ExternalLab(GuardedLab):
    """A run's part of a cluster of somebody else. Use it in a ``with`` statement.

    Args:
        servers: where some brokers are.
        session_s: seconds after which the brokers forget a member of the run's groups.

    Attributes:
        brokers: the brokers, which no fault may touch.
        journal: what is under way; its first entry deletes what the run has made.
        prefix: begins the names of all topics, groups and transactional ids of the run.
    """

    kind: ClusterKind = "external"
    brokers: ForeignBrokers
    network = disks = clocks = None

    def __init__(self, servers: str, session_s: float) -> None:
        self._servers = servers
        self._session_s = session_s
        super().__init__()
        self.prefix = new_prefix()

    @property
    def bootstrap_servers(self) -> str:
        """The value for ``bootstrap.servers``."""
        return self._servers

    def save_logs(self, folder: Path) -> None:
        """Nothing: they are where their owner has them."""

    def _open(self, folder: Path) -> None:  # noqa: ARG002
        cluster = require_fair_game(self._servers)
        # Before the first topic: whoever ends us now, the guard deletes them.
        undo = removal(self._servers, self.prefix, self._session_s + _MARGIN_S)
        made = self.journal.begin(f"topics and groups {self.prefix}*", undo)
        self._stack.callback(self.journal.end, made)
        self.brokers = ForeignBrokers(self._servers, cluster.brokers, self.prefix)

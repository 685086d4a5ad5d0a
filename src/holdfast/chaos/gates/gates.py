"""Gates before the sinks of an application, as a run has them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from holdfast.chaos.gates.addresses import Behind, behind, doors_of
from holdfast.chaos.gates.manners import Counts, Manner
from holdfast.chaos.helpers import Helper
from holdfast.topology import Topology


class Gates:
    """Doors before some sinks of an application. Used in a ``with`` statement.

    They are a process of their own, which ends with ours, however that ends: then nothing can be reached
    through them any more, and the workers, whose addresses lead there, have ended as well.

    Args:
        topology: the application's, as it is declared.
        names: the sinks; each must be one that can have a gate.
        seed: decides which calls are answered wrongly.

    Attributes:
        keys: what the declaration of each sink has to say instead, as a topology file says it.
        environment: variables that the workers need for it. They may hold passwords.

    Raises:
        ChaosError: a sink can have no gate, or its address is not known; or there are no ports.
        TopologyError: there is no such sink.
    """

    def __init__(self, topology: Topology, names: Iterable[str], seed: int = 0) -> None:
        decls = {name: topology.sink(name) for name in names}
        # Faults begin and end on threads of their own, and a question belongs to its answer.
        self._lock = threading.Lock()
        doors = {name: doors_of(decl) for name, decl in decls.items()}
        self._helper = Helper(
            "holdfast.chaos.gates.process",
            "the process of the gates",
            {"gates": doors, "seed": seed},
            loss="no worker reaches its sinks any more",
        )
        self._ports: dict[str, list[int]] = self._helper.first["ports"]
        try:
            found: dict[str, Behind] = {name: behind(decl, self._ports[name]) for name, decl in decls.items()}
        except BaseException:
            # There is no `with` yet that would end it.
            self.close()
            raise
        self.keys: Mapping[str, Mapping[str, Any]] = {name: it.keys for name, it in found.items()}
        self.environment = {name: value for it in found.values() for name, value in it.environment.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End them, with every connection through them."""
        self._helper.end()

    @property
    def names(self) -> Sequence[str]:
        """The sinks that they stand before."""
        return tuple(self._ports)

    def ports(self, name: str) -> Sequence[int]:
        """The ports of a gate on loopback, one for each address of the sink."""
        return tuple(self._ports[name])

    def become(self, name: str, manner: Manner) -> int:
        """Let a gate behave otherwise from now on.

        Returns:
            How many connections were reset for it.

        Raises:
            ChaosError: their process has ended.
        """
        return int(self._ask({"sink": name, "manner": dict(manner.as_json())})["reset"])

    def counts(self, name: str) -> Counts:
        """What has happened at a gate since it was made.

        Raises:
            ChaosError: their process has ended.
        """
        return Counts(**self._ask({"sink": name})["counts"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._helper.ask(question)

"""Faults of the systems that an application writes to and asks, at the gates before them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from holdfast.chaos.faults.fault import Evidence, Fault, seen
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.gates.manners import Counts, Kind, Manner
from holdfast.errors import FaultFailed, NothingMet
from holdfast.local.ports import HOST

_DIAL_S = 2.0


class _AtGates(Fault):
    """A fault that is a manner of gates. It ends with their process, and needs nobody to undo it.

    Args:
        gates: the gates.
        names: the sinks that it happens to.
        manner: how their gates behave meanwhile.
    """

    def __init__(self, gates: Gates, names: Sequence[str], manner: Manner) -> None:
        self._gates = gates
        self._names = tuple(names)
        self._manner = manner
        self._before: dict[str, Counts] = {}

    def _impose(self) -> dict[str, int]:
        """Let the gates behave so; how many connections of each were reset for it."""
        self._before = {name: self._gates.counts(name) for name in self._names}
        return {name: self._gates.become(name, self._manner) for name in self._names}

    def _lift(self) -> dict[str, Counts]:
        """Open the gates; what happened at each since the beginning."""
        found = {name: self._gates.counts(name) for name in self._names}
        for name in self._names:
            self._gates.become(name, Manner())
        return {name: count.since(self._before.get(name, Counts())) for name, count in found.items()}


class SystemDown(_AtGates):
    """Systems refuse connections, and those that there were are reset.

    Args:
        gates: the gates.
        names: the sinks that it happens to.
    """

    def __init__(self, gates: Gates, names: Sequence[str]) -> None:
        super().__init__(gates, names, Manner(Kind.DOWN))

    def begin(self) -> Evidence:
        """Shut the gates; a connection to each of their ports is seen to be refused."""
        reset = self._impose()
        for name in self._names:
            for port in self._gates.ports(name):
                if _takes(port):
                    raise FaultFailed(f"sink {name!r}: port {port} of its gate still takes connections")
        return {"refused": list(self._names), "reset": reset}

    def end(self) -> Evidence:
        """Open them; each is seen to take connections."""
        self._lift()
        for name in self._names:
            for port in self._gates.ports(name):
                seen(lambda port=port: _takes(port), f"sink {name!r} can be reached")  # type: ignore[misc]
        return {"taken": list(self._names)}


class SystemSlow(_AtGates):
    """What systems say is held for a while, in its order.

    Args:
        gates: the gates.
        names: the sinks that it happens to.
        delay_s: how many seconds everything is held.
    """

    def __init__(self, gates: Gates, names: Sequence[str], delay_s: float) -> None:
        super().__init__(gates, names, Manner(Kind.SLOW, delay_s=delay_s))

    def begin(self) -> Evidence:
        """Begin to hold. That somebody has suffered from it is told at the end."""
        self._impose()
        return {"delay": self._manner.delay_s, "slow": list(self._names)}

    def end(self) -> Evidence:
        """Hold nothing more; what was held meanwhile is the proof that it happened.

        Raises:
            NothingMet: nothing was.
        """
        counts = self._lift()
        held = {name: count.held for name, count in counts.items()}
        self._met = frozenset(name for name, count in held.items() if count)
        if not self._met:
            raise NothingMet(f"{', '.join(self._names)} said nothing meanwhile: nothing was late")
        longest = {name: round(count.longest_s, 3) for name, count in counts.items() if count.longest_s}
        return {"held": held, "longest": longest}


class ServiceWrong(_AtGates):
    """A share of the calls of services is answered with HTTP 500; half of those are done all the same.

    Args:
        gates: the gates.
        names: the sinks that it happens to; services over HTTP.
        share: how many calls are answered so, above 0 and up to 1.
    """

    def __init__(self, gates: Gates, names: Sequence[str], share: float) -> None:
        super().__init__(gates, names, Manner(Kind.WRONG, share=share))

    def begin(self) -> Evidence:
        """Begin to answer. That somebody was answered so is told at the end."""
        self._impose()
        return {"share": self._manner.share, "wrong": list(self._names)}

    def end(self) -> Evidence:
        """Let the services answer; the calls that were answered wrongly are the proof that it happened.

        Raises:
            NothingMet: there was no such call.
        """
        counts = self._lift()
        self._met = frozenset(name for name, count in counts.items() if count.wrong)
        if not self._met:
            calls = sum(count.calls for count in counts.values())
            raise NothingMet(f"none of {calls} calls of {', '.join(self._names)} was answered wrongly")
        return {
            name: {"calls": count.calls, "done": count.wrong_done, "not done": count.wrong_left}
            for name, count in counts.items()
        }


def _takes(port: int) -> bool:
    """Whether a connection to a port of a gate is taken."""
    try:
        with socket.create_connection((HOST, port), timeout=_DIAL_S):
            return True
    except ConnectionRefusedError:
        return False

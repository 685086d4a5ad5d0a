"""What a gate does with what passes, and what it has counted: plain values for both sides of the pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class Kind(StrEnum):
    """What is wrong with a gate."""

    OPEN = "open"
    """Nothing: everything passes."""

    DOWN = "down"
    """It refuses connections, and has reset those that there were."""

    SLOW = "slow"
    """What the system says is held for a time."""

    WRONG = "wrong"
    """It answers a share of the calls itself: HTTP 500."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a gate behaves.

    Attributes:
        kind: what is wrong with it.
        delay_s: seconds that answers are held, where it is slow.
        share: of the calls that it answers itself, where it is wrong; above 0 and up to 1.
    """

    kind: Kind = Kind.OPEN
    delay_s: float = 0.0
    share: float = 0.0

    def as_json(self) -> Mapping[str, Any]:
        """For the process that has the gates."""
        return asdict(self)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Manner:
        """From what `as_json` made."""
        return cls(Kind(raw["kind"]), raw["delay_s"], raw["share"])


@dataclass(slots=True)
class Counts:
    """What has happened at a gate since it was made.

    Attributes:
        connections: how many came.
        reset: connections that were cut because it went down.
        calls: calls that came, where it is a service over HTTP.
        held: pieces of answers that were held.
        longest_s: the longest time for which one was, of those that were held to the end, since the gate
            became slow.
        wrong_done: calls that the system did, as its own answer says, which came as a whole; and that were
            answered with 500 all the same.
        wrong_left: calls that were answered with 500 and that the system has never seen.
    """

    connections: int = 0
    reset: int = 0
    calls: int = 0
    held: int = 0
    longest_s: float = 0.0
    wrong_done: int = 0
    wrong_left: int = 0

    @property
    def wrong(self) -> int:
        """Calls that were answered with 500."""
        return self.wrong_done + self.wrong_left

    def since(self, before: Counts) -> Counts:
        """What has happened since another look."""
        return Counts(
            connections=self.connections - before.connections,
            reset=self.reset - before.reset,
            calls=self.calls - before.calls,
            held=self.held - before.held,
            longest_s=self.longest_s,
            wrong_done=self.wrong_done - before.wrong_done,
            wrong_left=self.wrong_left - before.wrong_left,
        )


class Upstream(NamedTuple):
    """Where the system behind a door is.

    Attributes:
        host: its name or address; the path of a socket if it begins with "/", an abstract one with "@".
        port: its port.
        tls: whether the gate speaks TLS with it; what stands before the gate does not.
    """

    host: str
    port: int
    tls: bool = False

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Speech(StrEnum):
    """What is spoken at a door."""

    BYTES = "bytes"
    """The gate need not know."""

    HTTP = "http"
    SENTINEL = "sentinel"
    """Redis Sentinel, which says where the master is: that has to become the gate's own door."""


class Door(NamedTuple):
    """One address of a system that a gate stands before.

    Attributes:
        upstream: where it is; None for the master behind Sentinel, which is found out.
        speech: what is spoken there.
        master: what Sentinels call the master, and what stands behind the door without an upstream.
    """

    upstream: Upstream | None
    speech: Speech = Speech.BYTES
    master: str = ""

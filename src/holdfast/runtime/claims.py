"""What the restorer is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.errors import HoldfastError
from holdfast.runtime.store import RocksStore


@dataclass(frozen=True, slots=True)
class Claim:
    """One ownership of one shard; a shard that comes back is a new claim."""

    partition: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A shard that is ready for work.

    Attributes:
        claim: whose it is.
        store: its state, complete up to the committed offsets.
        positions: for each input topic, where to go on.
        records: changelog records read.
        seconds: how long it took.
        fence: the fencing token of this ownership, which holds once a commit has noted it.
        muted: for each input that is replayed, the offset up to which outputs are not written again.
        shadow: whether outputs go to topics of the version's own.
    """

    claim: Claim
    store: RocksStore
    positions: Mapping[str, int]
    records: int
    seconds: float
    fence: int = 0
    muted: Mapping[str, int] = field(default_factory=dict)
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class NotRestored:
    """A shard that cannot be made ready; the error says why."""

    claim: Claim
    error: HoldfastError


@dataclass(frozen=True, slots=True)
class Waiting:
    """A claim whose restore was tried in vain, and is tried again.

    Attributes:
        partition: the shard.
        why: what the last try ended with.
        since: when the first one did, by `time.monotonic`; a restore that moves on begins anew with it.
        answered: for how many seconds the brokers that the restore needs have answered all the same, from
            one question to another; 0 while one of them does not.
    """

    partition: int
    why: str
    since: float
    answered: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a restore is.

    Attributes:
        partition: the shard.
        done: changelog offsets behind us.
        total: changelog offsets to pass in all.
    """

    partition: int
    done: int
    total: int

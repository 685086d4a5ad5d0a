"""What goes wrong with the gateway, on demand.

    PUT /admin/faults
    [{"kind": "error", "rate": 0.3}, {"kind": "latency", "seconds": 0.5}]

Each call gets the first fault whose dice fall for it. The answer is what suffers: of the calls whose answer
is lost or wrong the share `done` was done all the same, as it is in life.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

FaultKind = Literal[
    "error",
    "latency",
    "hang",
    "cut-after-headers",
    "cut-in-body",
    "malformed",
    "wrong-schema",
    "other-order",
    "other-amount",
    "throttle",
]
"""What happens to a call.

- error: it is answered with `status`.
- latency: it is answered rightly, after `seconds`.
- hang: it is never answered, and its connection is kept.
- cut-after-headers, cut-in-body: the connection is closed before the body, or in it.
- malformed: the body of the answer is no JSON.
- wrong-schema: it is JSON of another service's.
- other-order, other-amount: it is about an order, or an amount, that nobody asked about.
- throttle: nothing is done, and it is answered with 429 and a `Retry-After` of `seconds`.
"""

Share = Annotated[float, Field(ge=0, le=1)]


class Fault(BaseModel, frozen=True, extra="forbid"):
    """One thing that goes wrong.

    Attributes:
        kind: what.
        rate: the share of calls that it happens to.
        done: the share of those calls for which the gateway does its work all the same.
        status: of an error.
        seconds: of latency; and of `Retry-After`, in whole seconds.
    """

    kind: FaultKind
    rate: Share = 1.0
    done: Share = 0.5
    status: Annotated[int, Field(ge=500, le=599)] = 503
    seconds: Annotated[float, Field(ge=0)] = 1.0


FAULTS: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(tuple[Fault, ...])


class Faults:
    """The faults at present.

    Args:
        seed: of the dice.

    Attributes:
        present: what goes wrong from now on.
        happened: how often each kind did.
    """

    def __init__(self, seed: int = 0) -> None:
        self.present: Sequence[Fault] = ()
        self.happened: Counter[str] = Counter()
        self._rng = random.Random(seed)

    def next(self) -> Fault | None:
        """What goes wrong with the next call."""
        for fault in self.present:
            if self._rng.random() < fault.rate:
                self.happened[fault.kind] += 1
                return fault
        return None

    def is_done(self, fault: Fault) -> bool:
        """Whether a call's work is done in spite of its fault."""
        if fault.kind == "throttle":
            return False
        return fault.kind == "latency" or self._rng.random() < fault.done

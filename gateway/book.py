"""The gateway's book: what was charged, by which key, and everything that was asked."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, Field

Amount = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=2)]
Kind = Literal["charge", "refund"]
Outcome = Literal["charged", "refunded", "declined", "nothing-to-refund", "repeated", "key-reused", "failed"]
"""What came of a call: the first four are decisions. `repeated`: its key has a decision, which was told once
more. `key-reused`: its key belongs to another request. `failed`: nothing was done, by a fault."""

DECISIONS = frozenset({"charged", "refunded", "declined", "nothing-to-refund"})


class Request(BaseModel, frozen=True):
    """What a call asks for."""

    order_id: str
    customer_id: str
    amount: Amount


class Entry(BaseModel, frozen=True):
    """One call in the journal.

    Attributes:
        at: unix time of its arrival.
        number: counts the entries from 1.
        key: its key of idempotency.
        kind: what it asked for.
        outcome: what came of it.
        fault: what went wrong with its answer, if anything did.
    """

    at: float
    number: int
    key: str
    kind: Kind
    outcome: Outcome
    order_id: str
    customer_id: str
    amount: Amount
    fault: str | None = None


class Decision(NamedTuple):
    """What was decided for a key, for as long as the book is kept.

    Attributes:
        number: of the entry with the decision.
    """

    kind: Kind
    request: Request
    outcome: Outcome
    number: int


class Book:
    """Decides what is asked, once for each key.

    A decision is in the journal before its answer goes out, so that a gateway which is killed and started
    again knows all that it has charged. A second charge of an order under another key is not refused: for all
    that a gateway knows, an order may be paid in parts. Who asks by mistake is found by the audit.

    Args:
        journal: the file; what is in it is taken over. The last line is dropped if it was cut off.
        limit: how much of a customer's money may be charged and not refunded at a time; None for no limit.
        clock: unix time.
    """

    def __init__(
        self, journal: Path, limit: Decimal | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.journal = journal
        self._limit = limit
        self._clock = clock
        self._number = 0
        self._decisions: dict[str, Decision] = {}
        self._open: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._charged: defaultdict[str, int] = defaultdict(int)
        _drop_torn_line(journal)
        for entry in read(journal):
            self._number = entry.number
            if entry.outcome in DECISIONS:
                self._note(entry)
        # Unbuffered: what was written is the operating system's, and outlives a SIGKILL.
        self._file = journal.open("ab", buffering=0)

    def decide(self, key: str, kind: Kind, request: Request, fault: str | None = None) -> Entry:
        """Do what is asked, unless it was done under this key before."""
        before = self._decisions.get(key)
        if before is None:
            return self._write(key, kind, request, self._outcome(kind, request), fault)
        same = (before.kind, before.request) == (kind, request)
        return self._write(key, kind, request, "repeated" if same else "key-reused", fault)

    def fail(self, key: str, kind: Kind, request: Request, fault: str) -> Entry:
        """Note a call for which nothing was done."""
        return self._write(key, kind, request, "failed", fault)

    def decision(self, key: str) -> Decision:
        """What was decided for a key that has a decision."""
        return self._decisions[key]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the journal."""
        self._file.close()

    def _outcome(self, kind: Kind, request: Request) -> Outcome:
        if kind == "refund":
            return "refunded" if self._charged[request.order_id] else "nothing-to-refund"
        if self._limit is not None and self._open[request.customer_id] + request.amount > self._limit:
            return "declined"
        return "charged"

    def _write(self, key: str, kind: Kind, request: Request, outcome: Outcome, fault: str | None) -> Entry:
        entry = Entry(
            at=self._clock(),
            number=self._number + 1,
            key=key,
            kind=kind,
            outcome=outcome,
            order_id=request.order_id,
            customer_id=request.customer_id,
            amount=request.amount,
            fault=fault,
        )
        self._file.write(entry.model_dump_json().encode() + b"\n")
        self._number = entry.number
        if outcome in DECISIONS:
            self._note(entry)
        return entry

    def _note(self, entry: Entry) -> None:
        request = Request(order_id=entry.order_id, customer_id=entry.customer_id, amount=entry.amount)
        self._decisions[entry.key] = Decision(entry.kind, request, entry.outcome, entry.number)
        sign = {"charged": 1, "refunded": -1}.get(entry.outcome, 0)
        self._open[entry.customer_id] += sign * entry.amount
        self._charged[entry.order_id] += sign


def read(journal: Path) -> Iterator[Entry]:
    """The entries of a journal, in their order; none if there is no such file."""
    if journal.exists():
        with journal.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield Entry.model_validate_json(line)


def _drop_torn_line(journal: Path) -> None:
    """Cut off what a kill left of a line: its call had no answer."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)

"""What must hold outside as well: nobody was charged twice, and the database shows what the log says.

The gateway is asked for its audit at `GATEWAY_URL`, the database is `HISTORY_DSN` with libpq's own
variables; what they hold is compared with the committed records.
"""

from __future__ import annotations

import os
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
from pydantic import BaseModel

from holdfast.checks import CheckResult, TopicReader
from schemas.orders import OrderPlaced
from schemas.payments import PaymentApproved, PaymentRequested

_TIMEOUT_S = 30


class Call(BaseModel, frozen=True):
    """One call in the gateway's audit: `outcome` is what the gateway did, under `key`."""

    key: str
    outcome: str
    order_id: str
    customer_id: str
    amount: Decimal


def everything_is_charged_once(log: TopicReader) -> CheckResult:
    """The gateway charged each approved payment once, with its amount, and gave back what was reversed."""
    url = os.environ.get("GATEWAY_URL", "http://127.0.0.1:8420")
    with urllib.request.urlopen(f"{url}/audit", timeout=_TIMEOUT_S) as answer:  # noqa: S310 - our own address
        return compare_charges(log, [Call.model_validate_json(line) for line in answer])


def history_equals_the_log(log: TopicReader) -> CheckResult:
    """The database holds the fold of the log: no row more, none less, none that differs."""
    dsn = os.environ.get("HISTORY_DSN", "dbname=shop")
    with psycopg.connect(dsn, connect_timeout=_TIMEOUT_S) as connection:
        return compare_history(log, History.of_database(connection))


# -- the gateway


@dataclass
class Payment:
    """What the log and the gateway say about the payment of one order: the amounts, by what they are.

    Attributes:
        customers: whose order it is, by each of those who said it.
        kept: what the outcome says that the customer pays in the end.
    """

    requested: list[Decimal] = field(default_factory=list)
    reversed: list[Decimal] = field(default_factory=list)
    approved: list[Decimal] = field(default_factory=list)
    refused: list[Decimal] = field(default_factory=list)
    charged: list[Decimal] = field(default_factory=list)
    refunded: list[Decimal] = field(default_factory=list)
    declined: list[Decimal] = field(default_factory=list)
    customers: set[str] = field(default_factory=set)
    kept: Decimal = Decimal(0)

    def problem(self) -> str | None:
        """What is wrong with it."""
        if len(self.charged) > 1:
            return f"charged {len(self.charged)} times: {_sums(self.charged)}"
        if self.charged != self.approved:
            return f"approved over {_sums(self.approved)}, but charged {_sums(self.charged)}"
        if self.declined != self.refused:
            return f"declined over {_sums(self.refused)} in the log, {_sums(self.declined)} by the gateway"
        if sorted(self.charged + self.declined) != sorted(self.requested):
            return f"{_sums(self.requested)} was asked for, and {_sums(self.charged + self.declined)} decided"
        if self.refunded != self.reversed:
            return f"reversed over {_sums(self.reversed)}, but refunded {_sums(self.refunded)}"
        if sum(self.charged) - sum(self.refunded) != self.kept:
            return f"the order cost {self.kept}, and {sum(self.charged) - sum(self.refunded)} was taken"
        if len(self.customers) > 1:
            return f"of several customers: {', '.join(sorted(self.customers))}"
        return None


def compare_charges(log: TopicReader, calls: Iterable[Call]) -> CheckResult:
    """Compare the gateway's audit with the log, order by order."""
    payments: defaultdict[str, Payment] = defaultdict(Payment)
    outcomes: Counter[str] = Counter()
    decided: Counter[str] = Counter()
    for call in calls:
        outcomes[call.outcome] += 1
        if call.outcome in ("charged", "refunded", "declined"):
            decided[call.key] += 1
            payment = payments[call.order_id]
            getattr(payment, call.outcome).append(call.amount)
            payment.customers.add(call.customer_id)
    _read_payments(log, payments)

    def problems() -> Iterator[str]:
        for order_id, payment in sorted(payments.items()):
            if problem := payment.problem():
                yield f"order {order_id}: {problem}"
        yield from (f"the key {key} was decided {n} times" for key, n in sorted(decided.items()) if n > 1)
        for mistake in ("key-reused", "nothing-to-refund"):
            if outcomes[mistake]:
                yield f"{outcomes[mistake]} calls were refused as {mistake}"

    taken = sum((sum(each.charged) - sum(each.refunded) for each in payments.values()), Decimal(0))
    counts = {name: outcomes[name] for name in ("charged", "declined", "refunded", "repeated", "failed")}
    return CheckResult.of("every payment is charged exactly once", problems(), **counts, taken=taken)


def _read_payments(log: TopicReader, payments: defaultdict[str, Payment]) -> None:
    for record in log.events("payment-requests"):
        payment, event = payments[record.event.order_id], record.event
        payment.customers.add(event.customer_id)
        (payment.requested if isinstance(event, PaymentRequested) else payment.reversed).append(event.amount)
    for record in log.events("payments"):
        payment, event = payments[record.event.order_id], record.event
        (payment.approved if isinstance(event, PaymentApproved) else payment.refused).append(event.amount)
    for record in log.events("order-outcomes"):
        if record.event.outcome == "confirmed":
            payments[record.event.order_id].kept += record.event.total


def _sums(amounts: list[Decimal]) -> str:
    return " + ".join(map(str, amounts)) or "nothing"


# -- the database


class OrderRow(NamedTuple):
    """A row of the table `orders`."""

    customer_id: str | None = None
    total: Decimal | None = None
    lines: int | None = None
    paid: bool | None = None
    outcome: str | None = None


@dataclass
class History:
    """What processors/history.py writes: the orders by number, and how often each other row is there."""

    orders: dict[str, OrderRow] = field(default_factory=dict)
    payments: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    ledger: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    @classmethod
    def of_database(cls, connection: psycopg.Connection[Any]) -> History:
        """What is in the tables."""

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query.encode()).fetchall()

        orders = rows("SELECT order_id, customer_id, total, lines, paid, outcome FROM orders")
        return cls(
            {order_id: OrderRow(*values) for order_id, *values in orders},
            Counter(rows("SELECT order_id, customer_id, amount, approved FROM payments")),
            Counter(rows("SELECT account, order_id, amount FROM ledger_entries")),
        )

    @classmethod
    def of_log(cls, log: TopicReader) -> History:
        """What has to be there: the fold of the log."""
        history = cls()
        for record in log.events("orders-by-id"):
            event = record.event
            if isinstance(event, OrderPlaced):
                history._note(
                    event.order_id,
                    customer_id=event.customer_id,
                    total=event.total,
                    lines=len(event.lines),
                )
        for record in log.events("payments"):
            event, approved = record.event, isinstance(record.event, PaymentApproved)
            history._note(event.order_id, paid=approved)
            history.payments[(event.order_id, event.customer_id, event.amount, approved)] += 1
        for record in log.events("order-outcomes"):
            history._note(record.event.order_id, outcome=record.event.outcome)
        for record in log.events("ledger-entries"):
            event = record.event
            history.ledger[(event.account, event.order_id, event.amount)] += 1
        return history

    def _note(self, order_id: str, **values: Any) -> None:
        self.orders[order_id] = self.orders.get(order_id, OrderRow())._replace(**values)


def compare_history(log: TopicReader, found: History) -> CheckResult:
    """Compare what is in the database with the fold of the log, row by row."""
    expected = History.of_log(log)

    def problems() -> Iterator[str]:
        for order_id in sorted({*expected.orders, *found.orders}):
            wanted, there = expected.orders.get(order_id), found.orders.get(order_id)
            if wanted != there:
                yield f"orders {order_id}: {_row(there)}, the log says {_row(wanted)}"
        for table in ("payments", "ledger"):
            wanted_rows, rows = getattr(expected, table), getattr(found, table)
            for row in sorted({*wanted_rows, *rows}):
                if wanted_rows[row] != rows[row]:
                    told = ", ".join(map(str, row))
                    yield f"{table} ({told}): {rows[row]} times, the log says {wanted_rows[row]}"

    return CheckResult.of(
        "PostgreSQL equals the fold of the log",
        problems(),
        orders=len(found.orders),
        payments=found.payments.total(),
        ledger_entries=found.ledger.total(),
    )


def _row(row: OrderRow | None) -> str:
    return "no row" if row is None else ", ".join(f"{name} {value}" for name, value in row._asdict().items())

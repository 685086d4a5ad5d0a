"""What must hold once all processors have caught up, whatever failed on the way.

Each check compares what was asked for with what came of it, from the committed records alone.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal

from holdfast.checks import CheckResult, TopicReader
from schemas.orders import OrderClosed, OrderPlaced
from schemas.stock import LineReleased, LineReserved, StockLevel

LIVE_SPENDING_CHANGELOG = "shop.live-spending-spending-changelog"
"""Where the Faust application keeps its table (`<app id>-<table>-changelog`)."""


def every_order_is_closed_once(log: TopicReader) -> CheckResult:
    """Every order that was placed has exactly one outcome, and nothing else has one."""
    placed = {order.order_id for order in _placed(log)}
    outcomes: Counter[str] = Counter(closed.outcome for closed in _closed(log))
    ends = Counter(closed.order_id for closed in _closed(log))
    table = log.table("order-saga", "orders")

    def problems() -> Iterator[str]:
        for order_id in sorted(placed | set(ends)):
            if order_id not in placed:
                yield f"order {order_id} has an outcome but was never placed"
            elif ends[order_id] != 1:
                yield f"order {order_id} has {ends[order_id]} outcomes"
            elif table[order_id].outcome is None:
                yield f"order {order_id} has an outcome but the saga's table holds it as open"

    return CheckResult.of("every order reaches exactly one end", problems(), placed=len(placed), **outcomes)


def stock_is_conserved(log: TopicReader) -> CheckResult:
    """Stock is never negative, and what came in is what remains plus what confirmed orders hold."""
    received: Counter[str] = Counter()
    for record in log.events("stock-movements"):
        received[record.event.sku] += record.event.quantity
    promised = _promised(log)
    sold = _sold(log)
    levels: Mapping[str, StockLevel] = log.table("inventory", "stock")

    def problems() -> Iterator[str]:
        for sku in sorted({*received, *promised, *sold, *levels}):
            level = levels.get(sku, StockLevel())
            if level.remaining < 0:
                yield f"{sku}: {level.remaining} pieces remain"
            if level.received != received[sku]:
                yield f"{sku}: {received[sku]} pieces came in, the inventory counts {level.received}"
            if not level.reserved == promised[sku] == sold[sku]:
                yield (
                    f"{sku}: {level.reserved} pieces are reserved in the inventory, {promised[sku]} by "
                    f"its answers, {sold[sku]} by confirmed orders"
                )

    reserved = sum(level.reserved for level in levels.values())
    return CheckResult.of(
        "stock in = remaining + reserved, never negative",
        problems(),
        articles=len(levels),
        received=received.total(),
        reserved=reserved,
        remaining=sum(level.remaining for level in levels.values()),
    )


def ledger_balances(log: TopicReader) -> CheckResult:
    """The ledger sums to zero, and each account holds exactly what the confirmed orders say."""
    expected: defaultdict[str, Decimal] = defaultdict(Decimal)
    for closed in _closed(log):
        if closed.outcome == "confirmed":
            expected[f"customer:{closed.customer_id}"] += closed.total
            expected["sales"] -= closed.total
    booked: defaultdict[str, Decimal] = defaultdict(Decimal)
    entries = 0
    for record in log.events("ledger-entries"):
        booked[record.event.account] += record.event.amount
        entries += 1
    balances: Mapping[str, Decimal] = log.table("ledger", "balances")

    def problems() -> Iterator[str]:
        if total := sum(balances.values(), Decimal(0)):
            yield f"the balances sum to {total}, not to zero"
        for account in sorted({*expected, *booked, *balances}):
            balance = balances.get(account, Decimal(0))
            if not expected[account] == booked[account] == balance:
                yield (
                    f"{account}: {expected[account]} by confirmed orders, {booked[account]} by the entries, "
                    f"{balance} in the ledger's table"
                )

    return CheckResult.of(
        "the ledger sums to zero and matches the confirmed orders",
        problems(),
        accounts=len(balances),
        entries=entries,
        sales=-balances.get("sales", Decimal(0)),
    )


def credit_is_kept(log: TopicReader) -> CheckResult:
    """No customer is above the credit limit, and the credit in use is what confirmed orders cost."""
    owed: defaultdict[str, Decimal] = defaultdict(Decimal)
    for closed in _closed(log):
        if closed.outcome == "confirmed":
            owed[closed.customer_id] += closed.total
    accounts = log.table("credit", "accounts")

    def problems() -> Iterator[str]:
        for customer in sorted({*owed, *accounts}):
            credit = accounts.get(customer)
            used = credit.used if credit else Decimal(0)
            if credit and used > credit.limit:
                yield f"{customer}: uses {used} of {credit.limit}"
            if used != owed[customer]:
                yield f"{customer}: uses {used}, but confirmed orders cost {owed[customer]}"

    used = sum((credit.used for credit in accounts.values()), Decimal(0))
    return CheckResult.of("credit stays within the limit", problems(), customers=len(accounts), used=used)


def nothing_set_aside(log: TopicReader) -> CheckResult:
    """No record had to be set aside as a dead letter."""
    letters = [f"{letter.topic()}[{letter.partition()}]@{letter.offset()}" for letter in log.dead_letters()]
    return CheckResult.of("no dead letters", letters, letters=len(letters))


def live_spending_matches(log: TopicReader) -> CheckResult:
    """The Faust application's view holds exactly what each customer ordered."""
    ordered: defaultdict[str, Decimal] = defaultdict(Decimal)
    for order in _placed(log):
        ordered[order.customer_id] += order.total
    seen: dict[str, Decimal] = {}
    for record in log.records(LIVE_SPENDING_CHANGELOG):
        key, value = record.key(), record.value()
        if key is not None and value is not None:
            seen[json.loads(key)] = Decimal(json.loads(value)["total"])
    problems = (
        f"{customer}: ordered for {ordered[customer]}, the view shows {seen.get(customer, 0)}"
        for customer in sorted({*ordered, *seen})
        if ordered[customer] != seen.get(customer, Decimal(0))
    )
    total = sum(seen.values(), Decimal(0))
    return CheckResult.of("the live view matches the orders", problems, customers=len(seen), spending=total)


def _placed(log: TopicReader) -> Iterator[OrderPlaced]:
    return (r.event for r in log.events("orders") if isinstance(r.event, OrderPlaced))


def _closed(log: TopicReader) -> Iterator[OrderClosed]:
    return (r.event for r in log.events("order-outcomes") if isinstance(r.event, OrderClosed))


def _promised(log: TopicReader) -> Counter[str]:
    """Pieces by article that the inventory set aside and did not get back."""
    pieces: Counter[str] = Counter()
    for record in log.events("reservations"):
        if isinstance(record.event, LineReserved):
            pieces[record.event.sku] += record.event.quantity
    for record in log.events("order-lines"):
        if isinstance(record.event, LineReleased):
            pieces[record.event.sku] -= record.event.quantity
    return pieces


def _sold(log: TopicReader) -> Counter[str]:
    """Pieces by article in confirmed orders."""
    confirmed = {closed.order_id for closed in _closed(log) if closed.outcome == "confirmed"}
    pieces: Counter[str] = Counter()
    for order in _placed(log):
        if order.order_id in confirmed:
            # A repeated placement of the same order must not count twice.
            confirmed.discard(order.order_id)
            for line in order.lines:
                pieces[line.sku] += line.quantity
    return pieces

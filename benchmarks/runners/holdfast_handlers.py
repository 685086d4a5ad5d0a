"""The two jobs as Holdfast handlers, with the event contracts they need."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.runners.common import REGIONS, TAX, FirstRecord
from holdfast import Event, State, processor

first = FirstRecord()


class Order(Event):
    """One order, as it stands on the input topic."""

    order_id: str
    customer_id: str
    amount: float
    sku: str
    quantity: int
    country: str


class EnrichedOrder(Event):
    """One order with its gross amount and region."""

    order_id: str
    customer_id: str
    amount: float
    sku: str
    quantity: int
    country: str
    gross: float
    region: str


class Total(NamedTuple):
    """Sum and count of one customer's orders."""

    amount: float
    orders: int


@processor
def add(order: Order, totals: State[Total]) -> None:
    """Add one order to its customer's total."""
    if not first.seen:
        first.report()
    total = totals.get()
    if total is None:
        totals.set(Total(amount=order.amount, orders=1))
    else:
        totals.set(Total(amount=total.amount + order.amount, orders=total.orders + 1))


@processor
def enrich(order: Order) -> EnrichedOrder:
    """One enriched order per order."""
    if not first.seen:
        first.report()
    return EnrichedOrder(
        order_id=order.order_id,
        customer_id=order.customer_id,
        amount=order.amount,
        sku=order.sku,
        quantity=order.quantity,
        country=order.country,
        gross=round(order.amount * order.quantity * TAX, 2),
        region=REGIONS.get(order.country, "other"),
    )

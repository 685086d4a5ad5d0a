"""What customers do, how an order stands, and how it ends."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PositiveInt

from holdfast import Event
from schemas.money import Money

Outcome = Literal["confirmed", "out-of-stock", "declined", "cancelled"]
"""How an order ended."""


class OrderLine(BaseModel, frozen=True):
    """One line of an order: so many pieces of one article at a price per piece."""

    sku: str
    quantity: PositiveInt
    price: Money


class OrderPlaced(Event):
    """A customer placed an order."""

    order_id: str
    customer_id: str
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1)]

    @property
    def total(self) -> Decimal:
        """What the whole order costs."""
        return sum((line.quantity * line.price for line in self.lines), Decimal(0))


class OrderCancelled(Event):
    """A customer wants out of an order. It has no effect once the order is closed."""

    order_id: str
    customer_id: str


class OrderClosed(Event):
    """An order reached its end; exactly one such event exists for every order that was placed."""

    order_id: str
    customer_id: str
    outcome: Outcome
    total: Money


class Order(BaseModel, frozen=True):
    """State of the order saga: how far an order has come.

    Attributes:
        placed: the order; None once it is closed, when only its outcome matters.
        reserved: numbers of the lines for which stock is set aside.
        refused: numbers of the lines for which there was no stock.
        paying: whether the payment was asked for.
        cancelled: whether the customer wants out of it.
        outcome: how it ended, None while it is open.
    """

    placed: OrderPlaced | None
    reserved: frozenset[int] = frozenset()
    refused: frozenset[int] = frozenset()
    paying: bool = False
    cancelled: bool = False
    outcome: Outcome | None = None

"""Payments: what is asked of a customer's credit, and the answers."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel

from holdfast import Event
from schemas.money import Money


class PaymentRequested(Event):
    """An order asks to be paid from the customer's credit."""

    customer_id: str
    order_id: str
    amount: Money


class PaymentReversed(Event):
    """An approved payment is taken back: the order was cancelled meanwhile."""

    customer_id: str
    order_id: str
    amount: Money


class PaymentApproved(Event):
    """The amount was taken from the customer's credit."""

    order_id: str
    customer_id: str
    amount: Money


class PaymentDeclined(Event):
    """The customer's credit does not cover the amount."""

    order_id: str
    customer_id: str
    amount: Money


class Credit(BaseModel, frozen=True):
    """State of a customer's credit: how much may be used, and how much is."""

    limit: Money
    used: Money = Decimal(0)

    def covers(self, amount: Decimal) -> bool:
        """Whether `amount` more stays within the limit."""
        return self.used + amount <= self.limit

"""Decides payments: each customer may use credit up to a limit."""

from __future__ import annotations

from decimal import Decimal

from holdfast import State, processor
from schemas.payments import Credit, PaymentApproved, PaymentDeclined, PaymentRequested, PaymentReversed

LIMIT = Decimal("1500.00")
"""How much credit a customer has."""


@processor
def credit(
    event: PaymentRequested | PaymentReversed, accounts: State[Credit]
) -> PaymentApproved | PaymentDeclined | None:
    """Approve what the customer's credit covers; give back what is reversed."""
    account = accounts.get() or Credit(limit=LIMIT)
    if isinstance(event, PaymentReversed):
        accounts.set(Credit(limit=account.limit, used=account.used - event.amount))
        return None
    if not account.covers(event.amount):
        return PaymentDeclined(order_id=event.order_id, customer_id=event.customer_id, amount=event.amount)
    accounts.set(Credit(limit=account.limit, used=account.used + event.amount))
    return PaymentApproved(order_id=event.order_id, customer_id=event.customer_id, amount=event.amount)

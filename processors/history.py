"""Shows orders, payments and the ledger in PostgreSQL; the tables are in schemas/history.sql.

The records of an order come from three topics, between which there is no order. So each kind of event
has columns of its own, and the row at the end does not depend on who came first. Payments and ledger
entries are plain inserts: one that came twice would be there twice.
"""

from __future__ import annotations

from holdfast import processor
from holdfast.sinks.postgres import Insert, Upsert
from schemas.ledger import LedgerEntry
from schemas.orders import OrderCancelled, OrderClosed, OrderPlaced
from schemas.payments import PaymentApproved, PaymentDeclined

Input = OrderPlaced | OrderCancelled | PaymentApproved | PaymentDeclined | OrderClosed


@processor
def order_history(event: Input) -> list[Upsert | Insert]:
    """Note in the order's row what happened to it, and each decision on a payment in a row of its own."""
    match event:
        case OrderPlaced():
            row = {"customer_id": event.customer_id, "total": event.total, "lines": len(event.lines)}
            return [Upsert("orders", {"order_id": event.order_id, **row})]
        case PaymentApproved() | PaymentDeclined():
            approved = isinstance(event, PaymentApproved)
            payment = {**event.model_dump(), "approved": approved}
            return [
                Upsert("orders", {"order_id": event.order_id, "paid": approved}),
                Insert("payments", payment),
            ]
        case OrderClosed():
            return [Upsert("orders", {"order_id": event.order_id, "outcome": event.outcome})]
    # A cancellation shows in the outcome, if it came in time.
    return []


@processor
def ledger_history(entry: LedgerEntry) -> Insert:
    """Write each entry into the ledger's table."""
    return Insert("ledger_entries", entry)

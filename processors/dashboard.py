"""Counts in Redis what the shop's dashboard shows: how orders ended, and what each customer bought.

Counters show what a table of last states hides: one that was written twice would count twice.
"""

from __future__ import annotations

from holdfast import processor
from holdfast.sinks.redis import HashIncrement
from schemas.orders import OrderClosed

ORDERS = "shop:orders"
"""A hash: how many orders ended in which way."""

BOUGHT = "shop:bought"
"""A hash: by customer, the cents of confirmed orders. Whole numbers: Redis adds fractions as doubles."""


@processor
def dashboard(closed: OrderClosed) -> list[HashIncrement]:
    """Count an order that has come to its end."""
    counted = [HashIncrement(ORDERS, closed.outcome)]
    if closed.outcome == "confirmed":
        counted.append(HashIncrement(BOUGHT, closed.customer_id, int(closed.total * 100)))
    return counted

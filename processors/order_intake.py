"""Takes the orders in: from one shard per customer to one shard per order."""

from __future__ import annotations

from holdfast import processor
from schemas.orders import OrderCancelled, OrderPlaced


@processor
def order_intake(event: OrderPlaced | OrderCancelled) -> OrderPlaced | OrderCancelled:
    """Pass the event on to `orders-by-id`, which is keyed by order.

    All events of a customer come from one shard, so a cancellation stays behind its order.
    """
    return event

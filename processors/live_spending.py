"""The live view: what each customer ordered so far, computed by a stock Faust application.

Holdfast's supervisor runs it beside the native processors, as declared by `runtime: faust`, and tells it
by environment variables where the brokers are and where it may keep files. The orders are the same
records that the native processors read, decoded with the same contracts.

Faust delivers an order again after some failures. So each customer's entry also remembers the offset of
the last order in it, and an order that is behind it counts no second time. A customer's orders are in one
partition, which gives their offsets an order.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import faust

from holdfast.errors import DecodeError
from holdfast.schema import EventDecoder
from schemas.orders import OrderCancelled, OrderPlaced

PARTITIONS = 6
"""As many as the topic `orders` has: a table's partitions follow its input's."""

servers = os.environ.get("HOLDFAST_BOOTSTRAP_SERVERS", "127.0.0.1:9092")

app = faust.App(
    "shop.live-spending",
    broker=[f"kafka://{server}" for server in servers.split(",")],
    datadir=os.environ.get("HOLDFAST_STATE_DIR", "live-spending-data"),
    store="memory://",
    topic_partitions=PARTITIONS,
    topic_replication_factor=3,
    topic_disable_leader=True,  # nothing here runs on one worker only, so the leader's topic is not needed
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    broker_commit_interval=0.5,
    web_enabled=False,
)

orders = app.topic("orders", key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw")
spending = app.Table("spending", key_type=str, partitions=PARTITIONS)

decode = EventDecoder([OrderPlaced, OrderCancelled]).decode


@app.agent(orders)
async def live_spending(stream: Any) -> None:
    """Add each order to its customer's total."""
    async for record in stream.events():
        message = record.message
        try:
            order = decode(message.value, message.headers, message.key)
        except DecodeError:
            continue  # the native processors of this topic set it aside
        if isinstance(order, OrderPlaced):
            entry = spending.get(order.customer_id) or {"total": "0", "offset": -1}
            if message.offset > entry["offset"]:
                total = Decimal(entry["total"]) + order.total
                spending[order.customer_id] = {"total": str(total), "offset": message.offset}

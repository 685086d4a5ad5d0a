"""The live view: what each customer ordered so far, computed by a stock Faust application.

Holdfast's supervisor runs it beside the native processors, as declared by `runtime: faust`, and tells it
by environment variables where the brokers are and where it may keep files. The orders are the same
records that the native processors read, decoded with the same contracts.

Faust promises that an order comes at least once. Three things make a view out of that which is right after
any crash and any rebalance:

- Faust commits an order's offset whether or not the brokers have what it changed in a table: a worker that
  is killed in between would have lost the order. So an order is acknowledged here when they have it.
- When Faust begins, or begins again after a rebalance, it fetches orders before it has asked where to begin,
  and then empties the queue in which they wait. An order in it at that moment would be lost. So none is let
  into the queue before that.
- An order comes again after some failures. So each customer's entry also remembers the offset of the last
  order in it, and an order that is behind it counts no second time. A customer's orders are in one
  partition, which gives their offsets an order.
"""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from typing import Any, cast

import faust

from holdfast.errors import DecodeError
from holdfast.schema import EventDecoder
from schemas.orders import OrderCancelled, OrderPlaced

PARTITIONS = 6
"""As many as the topic `orders` has: a table's partitions follow its input's."""


class Table(faust.Table[str, dict[str, Any]]):
    """A table that tells when the brokers have its changes.

    Attributes:
        last_sent: the last change of each partition; it is done when they have it, or refuse it.
        has_failed: whether a change is missing, or a record was not handled.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.last_sent: dict[int, asyncio.Future[Any]] = {}
        self.has_failed = False

    def send_changelog(self, partition: Any, *args: Any, **options: Any) -> Any:
        """As Faust does it, which waits for nothing."""
        self.last_sent[partition] = super().send_changelog(partition, *args, **options)
        return self.last_sent[partition]


servers = os.environ.get("HOLDFAST_BOOTSTRAP_SERVERS", "127.0.0.1:9092")

app = faust.App(
    "shop.live-spending",
    broker=[f"kafka://{server}" for server in servers.split(",")],
    datadir=os.environ.get("HOLDFAST_STATE_DIR", "live-spending-data"),
    store="memory://",
    Table=Table,
    topic_partitions=PARTITIONS,
    topic_replication_factor=3,
    topic_disable_leader=True,  # nothing here runs on one worker only, so the leader's topic is not needed
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    broker_commit_interval=0.5,
    web_enabled=False,
)

orders = app.topic("orders", key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw")
spending = cast("Table", app.Table("spending", key_type=str, partitions=PARTITIONS))

decode = EventDecoder([OrderPlaced, OrderCancelled]).decode


@app.agent(orders)
async def live_spending(stream: Any) -> None:
    """Add each order to its customer's total."""
    async for record in stream.noack().events():
        try:
            add(record.message)
        except Exception as error:
            fail(error)
            raise
        sent = spending.last_sent.get(record.message.partition)
        if sent is not None:
            sent.add_done_callback(acknowledge(record))
        elif may_acknowledge(record):
            record.ack()


@app.on_rebalance_complete.connect
def hold_orders_back(*_: Any, **__: Any) -> None:
    """Let no order into the queue until Faust has emptied it; it resumes the flow itself right after."""
    app.flow_control.suspend()


def may_acknowledge(record: Any) -> bool:
    """Whether an order is one of the present generation, and nothing before it is missing.

    After a rebalance the table is as the brokers have it, and later changes are made again: that an earlier
    life of them arrives says nothing about the order's entry.
    """
    return not spending.has_failed and bool(record.message.generation_id == app.consumer_generation_id)


def add(message: Any) -> None:
    """Add a record to its customer's total, if it is an order that is not in it yet."""
    try:
        order = decode(message.value, message.headers, message.key)
    except DecodeError:
        return  # the native processors of this topic set it aside
    if isinstance(order, OrderPlaced):
        entry = spending.get(order.customer_id) or {"total": "0", "offset": -1}
        if message.offset > entry["offset"]:
            total = Decimal(entry["total"]) + order.total
            spending[order.customer_id] = {"total": str(total), "offset": message.offset}


def acknowledge(record: Any) -> Any:
    """What to do when the brokers have all changes up to a record: its offset may be committed from then on.

    Nothing is acknowledged any more when they refused one: Faust would commit past a single record that is
    still open.
    """

    def done(sent: asyncio.Future[Any]) -> None:
        error = sent.exception()
        if error is not None:
            fail(error)
        elif may_acknowledge(record):
            record.ack()

    return done


def fail(error: BaseException) -> None:
    """End the worker: the next one handles again what was not acknowledged."""
    spending.has_failed = True
    app.add_future(app.crash(error))

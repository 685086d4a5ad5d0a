"""Faust (faust-streaming) on both jobs; `--tuned` adds uvloop and producer batches."""

from __future__ import annotations

import sys
from typing import Any

import mode.loop

TUNED = "--tuned" in sys.argv
if TUNED:
    mode.loop.use("uvloop")  # before faust is imported, else the default loop is taken

import faust  # noqa: E402

from benchmarks.runners.common import (  # noqa: E402
    REGIONS,
    TAX,
    FirstRecord,
    Settings,
    parse_settings,
    say_hello,
)

# Without a linger Faust sends the changelog record of each update in a request of its own.
PRODUCER_BATCHES = {"producer_linger": 0.02, "producer_max_batch_size": 128 * 1024}
first = FirstRecord()


def build(settings: Settings) -> faust.App:
    """The application, with the settings that docs/benchmarks.md gives reasons for."""
    app = faust.App(
        settings.app_id,
        broker=";".join(f"kafka://{server}" for server in settings.bootstrap_servers.split(",")),
        store="memory://",  # quicker than rocksdb:// with this number of keys
        datadir=settings.state_dir,
        processing_guarantee="exactly_once" if settings.exactly_once else "at_least_once",
        broker_commit_interval=settings.commit_interval,
        broker_commit_every=1_000_000,  # the interval alone decides
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_disable_leader=True,
        # 0 would select another assignor, with which exactly_once crashes at the start (faust issue 440);
        # one worker alone has no standby either way.
        table_standby_replicas=1,
        stream_wait_empty=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
        **(PRODUCER_BATCHES if TUNED else {}),
    )
    orders = app.topic(settings.input, key_serializer="raw", value_serializer="json")
    if settings.job == "totals":
        _add_totals(app, orders, settings)
    else:
        _add_enrich(app, orders, settings)
    return app


def _add_totals(app: faust.App, orders: Any, settings: Settings) -> None:
    totals = app.Table("totals", partitions=settings.partitions)

    @app.agent(orders)
    async def add(stream: Any) -> None:
        async for order in stream:
            if not first.seen:
                first.report()
            customer = order["customer_id"]
            total = totals.get(customer)
            if total is None:
                totals[customer] = [order["amount"], 1]
            else:
                totals[customer] = [total[0] + order["amount"], total[1] + 1]


def _add_enrich(app: faust.App, orders: Any, settings: Settings) -> None:
    enriched = app.topic(settings.output, key_serializer="raw", value_serializer="json")

    @app.agent(orders)
    async def enrich(stream: Any) -> None:
        async for key, order in stream.items():
            if not first.seen:
                first.report()
            order["gross"] = round(order["amount"] * order["quantity"] * TAX, 2)
            order["region"] = REGIONS.get(order["country"], "other")
            await enriched.send(key=key, value=order)


if __name__ == "__main__":
    say_hello("faust-streaming", "aiokafka", "orjson", "uvloop")
    application = build(parse_settings([word for word in sys.argv[1:] if word != "--tuned"]))
    sys.argv[1:] = []
    faust.Worker(application, loglevel="WARNING").execute_from_commandline()

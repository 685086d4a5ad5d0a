"""Quix Streams on both jobs."""

from __future__ import annotations

from typing import Any

from quixstreams import Application, State

from benchmarks.runners.common import REGIONS, TAX, FirstRecord, Settings, parse_settings, say_hello

first = FirstRecord()


def add(order: dict[str, Any], state: State) -> None:
    """Add one order to its customer's [sum, count]; one read and one write per record."""
    if not first.seen:
        first.report()
    total = state.get("t")
    if total is None:
        state.set("t", [order["amount"], 1])
    else:
        state.set("t", [total[0] + order["amount"], total[1] + 1])


def enrich(order: dict[str, Any]) -> dict[str, Any]:
    """One enriched order per order."""
    if not first.seen:
        first.report()
    order["gross"] = round(order["amount"] * order["quantity"] * TAX, 2)
    order["region"] = REGIONS.get(order["country"], "other")
    return order


def build(settings: Settings) -> Application:
    """The application, with the settings that docs/benchmarks.md gives reasons for."""
    app = Application(
        broker_address=settings.bootstrap_servers,
        consumer_group=settings.app_id,
        auto_offset_reset="earliest",
        commit_interval=settings.commit_interval,
        processing_guarantee="exactly-once" if settings.exactly_once else "at-least-once",
        # Commits are looked at after each poll: the default of 1 s would delay them on an idle input.
        consumer_poll_timeout=settings.commit_interval,
        state_dir=settings.state_dir,
        producer_extra_config={"linger.ms": 20},
        loglevel="WARNING",
    )
    orders = app.dataframe(app.topic(settings.input, value_deserializer="json"))
    if settings.job == "totals":
        orders.update(add, stateful=True)
    else:
        orders.apply(enrich).to_topic(app.topic(settings.output, value_serializer="json"))
    return app


if __name__ == "__main__":
    say_hello("quixstreams", "confluent-kafka", "rocksdict", "orjson")
    build(parse_settings()).run()

"""Are an engine's results right? Read back from Kafka with read_committed, compared with the truth."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from benchmarks.cluster import Cluster
from benchmarks.engines import Engine, Total
from benchmarks.orders import Truth, order_number
from benchmarks.runners.common import Settings

CENT = 0.011


def verify(engine: Engine, settings: Settings, truth: Truth, cluster: Cluster) -> list[str]:
    """What is wrong with the results of the run `settings`; empty if nothing is."""
    if settings.job == "enrich":
        return _verify_enriched(settings, truth, cluster)
    changelog = engine.changelog_of(settings.app_id, settings.input)
    if changelog is None or engine.decode is None:
        return []
    return _verify_totals(changelog, engine, settings, truth, cluster)


def _verify_totals(
    changelog: str, engine: Engine, settings: Settings, truth: Truth, cluster: Cluster
) -> list[str]:
    shape = cluster.replication(changelog)
    if shape != (settings.partitions, settings.replication):
        return [f"the changelog {changelog} has (partitions, replication factor) {shape}"]
    totals: dict[str, Total] = {}

    def keep(key: bytes, value: bytes | None) -> None:
        if value is not None:
            customer, total = engine.decode(key, value)  # type: ignore[misc]  # checked by the caller
            totals[customer] = total

    cluster.read_all(changelog, keep)
    wrong = [
        f"{customer}: {totals.get(customer)} instead of ({truth.cents[customer] / 100}, {count})"
        for customer, count in truth.counts.items()
        if not _same(totals.get(customer), truth.cents[customer], count)
    ]
    strangers = totals.keys() - truth.counts.keys()
    return _summary(wrong, "customers with a wrong total") + _summary(sorted(strangers), "unknown customers")


def _same(total: Total | None, cents: int, count: int) -> bool:
    return total is not None and total[1] == count and abs(total[0] - cents / 100) < CENT


def _verify_enriched(settings: Settings, truth: Truth, cluster: Cluster) -> list[str]:
    seen = bytearray(truth.events)
    wrong: list[str] = []

    def check(_key: bytes, value: bytes | None) -> None:
        event: dict[str, Any] = from_json(value or b"{}")
        number = order_number(event["order_id"])
        seen[number] = min(seen[number] + 1, 2)
        if abs(event["gross"] - truth.gross[number]) > CENT or "region" not in event:
            wrong.append(event["order_id"])

    count = cluster.read_all(settings.output, check)
    problems = [] if count == truth.events else [f"{count} outputs for {truth.events} inputs"]
    if missing := seen.count(0):
        problems.append(f"{missing} orders have no output")
    if doubled := seen.count(2):
        problems.append(f"{doubled} orders have more than one output")
    return problems + _summary(wrong, "orders enriched wrongly")


def _summary(found: list[str], what: str) -> list[str]:
    return [f"{len(found)} {what}, such as {found[0]}"] if found else []

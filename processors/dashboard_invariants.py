"""What must hold in Redis: each counter is what the log says. Redis is asked at `DASHBOARD_URL`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from holdfast.checks import CheckResult, TopicReader
from processors.dashboard import BOUGHT, ORDERS

Counters = Mapping[str, Mapping[str, int]]
"""By hash and field."""

_TIMEOUT_S = 30


def dashboard_equals_the_log(log: TopicReader) -> CheckResult:
    """Redis holds the fold of the log: no counter more, none less, none that differs."""
    url = os.environ.get("DASHBOARD_URL", "redis://127.0.0.1:6379/0")
    with redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, decode_responses=True) as client:
        found: dict[str, Any] = {name: client.hgetall(name) for name in (ORDERS, BOUGHT)}
    return compare_dashboard(
        log, {name: {field: int(count) for field, count in held.items()} for name, held in found.items()}
    )


def compare_dashboard(log: TopicReader, found: Counters) -> CheckResult:
    """Compare counters with the fold of the log."""
    expected: dict[str, Counter[str]] = {ORDERS: Counter(), BOUGHT: Counter()}
    for record in log.events("order-outcomes"):
        expected[ORDERS][record.event.outcome] += 1
        if record.event.outcome == "confirmed":
            expected[BOUGHT][record.event.customer_id] += int(record.event.total * 100)

    def problems() -> Iterator[str]:
        for name, counters in expected.items():
            for field in sorted({*counters, *found[name]}):
                if counters[field] != found[name].get(field, 0):
                    yield f"{name} {field}: {found[name].get(field, 0)}, the log says {counters[field]}"

    return CheckResult.of("Redis equals the fold of the log", problems(), orders=sum(found[ORDERS].values()))

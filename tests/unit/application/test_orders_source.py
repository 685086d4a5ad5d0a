"""The source of orders is the same every time, and has everything in it that an application must survive."""

from __future__ import annotations

from collections import Counter

from producers.orders import generate
from schemas.orders import OrderCancelled, OrderPlaced
from schemas.stock import StockReceived


def test_the_same_seed_gives_the_same_events() -> None:
    """Another seed gives others, under other order numbers."""
    assert list(generate(count=200, seed=1)) == list(generate(count=200, seed=1))
    first, other = (
        {e.order_id for e in generate(200, seed) if isinstance(e, OrderPlaced)} for seed in (1, 2)
    )
    assert len(first) == len(other) == 200
    assert not first & other


def test_stock_comes_before_orders_and_covers_every_article() -> None:
    """An order for an article that never came in would say nothing about the inventory."""
    events = list(generate(count=500))
    opening = [event for event in events if isinstance(event, StockReceived)]
    assert events[: len(opening)] == opening
    asked = {line.sku for event in events if isinstance(event, OrderPlaced) for line in event.lines}
    assert asked <= {event.sku for event in opening}


def test_some_cancellations_come_at_once_some_later_and_some_are_wrong() -> None:
    """All three kinds are there."""
    events = list(generate(count=2000))
    placed: dict[str, int] = {}
    gaps: Counter[str] = Counter()
    for at, event in enumerate(events):
        if isinstance(event, OrderPlaced):
            placed[event.order_id] = at
        elif isinstance(event, OrderCancelled):
            before = placed.get(event.order_id)
            gaps["wrong" if before is None else "at once" if at - before == 1 else "later"] += 1
    assert set(gaps) == {"wrong", "at once", "later"}
    assert min(gaps.values()) >= 5


def test_few_customers_place_most_orders() -> None:
    """The most active fifth places more than a third of all orders."""
    orders = Counter(e.customer_id for e in generate(count=2000) if isinstance(e, OrderPlaced))
    most_active = sum(n for _, n in orders.most_common(len(orders) // 5))
    assert most_active > orders.total() / 3

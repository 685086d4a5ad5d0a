"""A seeded source of orders: the same arguments give the same events, whatever the machine.

Few customers and few articles get most of the orders, as in life. So some articles sell out and some
customers reach their credit limit, and every outcome of an order occurs.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from statistics import mean

from holdfast import Event
from schemas.orders import OrderCancelled, OrderLine, OrderPlaced
from schemas.stock import StockReceived

ORDERS_PER_CUSTOMER = 10
ORDERS_PER_SKU = 20
LINES = (1, 1, 1, 2, 2, 3, 4)
QUANTITIES = (1, 1, 2, 2, 3, 5)
"""Lines of an order and pieces of a line, each as likely as the others."""

CANCELLED_AT_ONCE, CANCELLED_LATER, CANCELLED_IN_ERROR = 0.03, 0.03, 0.01
"""Shares of orders: cancelled right after, cancelled later, and cancelled under a wrong number."""


@dataclass(frozen=True, slots=True)
class Article:
    """An article of the shop."""

    sku: str
    price: Decimal


def generate(
    count: int = 2000, seed: int = 7, customers: int | None = None, skus: int | None = None
) -> Iterator[Event]:
    """Yield the opening stock, then orders and cancellations.

    Args:
        count: number of orders.
        seed: decides everything that is left to chance.
        customers: number of customers; one for every ten orders unless given.
        skus: number of articles; one for every twenty orders unless given.
    """
    rng = random.Random(seed)
    articles = [
        Article(f"sku-{n:05}", Decimal(rng.randrange(200, 6000)).scaleb(-2))
        for n in range(skus or max(10, count // ORDERS_PER_SKU))
    ]
    people = [f"c-{n:06}" for n in range(customers or max(5, count // ORDERS_PER_CUSTOMER))]
    yield from _opening_stock(rng, count, articles)
    yield from _trade(rng, _orders(rng, seed, count, people, articles))


def _opening_stock(rng: random.Random, orders: int, articles: list[Article]) -> Iterator[StockReceived]:
    """Yield each article's stock: between half and one and a half of what is going to be asked for."""
    pieces = orders * mean(LINES) * mean(QUANTITIES)
    weights = _skewed(len(articles))
    for article, weight, before in zip(articles, weights, [0.0, *weights], strict=False):
        expected = pieces * (weight - before) / weights[-1]
        yield StockReceived(sku=article.sku, quantity=1 + round(expected * rng.uniform(0.5, 1.5)))


def _orders(
    rng: random.Random, seed: int, count: int, people: list[str], articles: list[Article]
) -> Iterator[OrderPlaced]:
    person_weights, article_weights = _skewed(len(people)), _skewed(len(articles))
    for n in range(count):
        (customer,) = rng.choices(people, cum_weights=person_weights)
        chosen = rng.choices(articles, cum_weights=article_weights, k=rng.choice(LINES))
        lines = tuple(
            OrderLine(sku=article.sku, quantity=rng.choice(QUANTITIES), price=article.price)
            for article in chosen
        )
        yield OrderPlaced(order_id=f"o-{seed}-{n:07}", customer_id=customer, lines=lines)


def _trade(rng: random.Random, orders: Iterator[OrderPlaced]) -> Iterator[Event]:
    """Yield the orders with cancellations among them."""
    regrets: deque[tuple[int, OrderCancelled]] = deque()
    for n, order in enumerate(orders):
        yield order
        cancellation = OrderCancelled(order_id=order.order_id, customer_id=order.customer_id)
        chance = rng.random()
        if chance < CANCELLED_AT_ONCE:
            yield cancellation
        elif chance < CANCELLED_AT_ONCE + CANCELLED_LATER:
            regrets.append((n + 200, cancellation))
        elif chance < CANCELLED_AT_ONCE + CANCELLED_LATER + CANCELLED_IN_ERROR:
            yield OrderCancelled(order_id=f"{order.order_id}-x", customer_id=order.customer_id)
        while regrets and regrets[0][0] <= n:
            yield regrets.popleft()[1]
    yield from (cancellation for _, cancellation in regrets)


def _skewed(count: int) -> list[float]:
    """Cumulative weights by which the n-th of `count` is chosen in proportion to 1 / sqrt(n)."""
    return list(accumulate((n + 1) ** -0.5 for n in range(count)))

"""The input of every benchmark: seeded orders of exactly 128 bytes, and what must come out of them.

The truth is computed while the orders are made, in integer cents, so that no engine's
result is ever checked against another engine's.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

ORDER_BYTES = 128
COUNTRIES = ("AT", "BR", "DE", "ES", "FR", "JP", "SE", "US")
REGIONS = {"AT": "EU", "DE": "EU", "ES": "EU", "FR": "EU", "SE": "EU"}
TAX = 1.19


@dataclass(frozen=True, slots=True)
class Order:
    """One order as it stands on the topic.

    Attributes:
        number: position in the stream, from 0; also the number inside `order_id`.
        key: record key, the customer's id.
        value: the JSON document, `ORDER_BYTES` long.
    """

    number: int
    key: bytes
    value: bytes


@dataclass(slots=True)
class Truth:
    """What a right engine ends with.

    Attributes:
        counts: orders per customer.
        cents: sum of the amounts per customer, in cents.
        gross: the enriched gross amount of each order, by order number.
    """

    counts: dict[str, int] = field(default_factory=dict)
    cents: dict[str, int] = field(default_factory=dict)
    gross: array[float] = field(default_factory=lambda: array("d"))

    @property
    def events(self) -> int:
        """Number of orders seen."""
        return len(self.gross)


def make_orders(
    *, events: int, keys: int, seed: int, truth: Truth, all_keys_first: bool = False
) -> Iterator[Order]:
    """Yield `events` orders of `keys` customers and add each one to `truth`.

    Args:
        events: how many orders.
        keys: how many customers.
        seed: the same seed gives the same orders.
        truth: told about every order; its orders so far are numbered before these.
        all_keys_first: every customer orders once before customers are drawn at random.
    """
    rng = random.Random(seed)
    start = truth.events
    for number in range(start, start + events):
        drawn = rng.randrange(keys)
        customer = f"c-{number if all_keys_first and number < keys else drawn:07d}"
        cents, quantity, country = rng.randrange(100, 50_000), rng.randint(1, 9), rng.choice(COUNTRIES)
        amount = f"{cents // 100}.{cents % 100:02d}"
        truth.counts[customer] = truth.counts.get(customer, 0) + 1
        truth.cents[customer] = truth.cents.get(customer, 0) + cents
        truth.gross.append(round(float(amount) * quantity * TAX, 2))
        yield Order(number, customer.encode(), _encode(number, customer, amount, rng, quantity, country))


def order_number(order_id: str) -> int:
    """The number inside an order id."""
    return int(order_id[2:])


def _encode(
    number: int, customer: str, amount: str, rng: random.Random, quantity: int, country: str
) -> bytes:
    sku = f"sku-{rng.randrange(10_000):04d}-"
    head = f'{{"order_id":"o-{number:08d}","customer_id":"{customer}","amount":{amount},"sku":"{sku}'
    tail = f'","quantity":{quantity},"country":"{country}"}}'
    padding = "x" * (ORDER_BYTES - len(head) - len(tail))
    return f"{head}{padding}{tail}".encode()

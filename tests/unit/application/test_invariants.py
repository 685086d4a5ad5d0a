"""The invariants hold in every interleaving and over every crash, and the checks see it when they do not."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import Event
from holdfast.testing import TopologyTest
from holdfast.topology import Topology
from schemas.ledger import LedgerEntry
from schemas.orders import OrderCancelled, OrderClosed, OrderLine, OrderPlaced
from schemas.payments import PaymentRequested
from schemas.stock import LineRequested, StockReceived

CHECKS = (
    "every_order_is_closed_once",
    "stock_is_conserved",
    "ledger_balances",
    "credit_is_kept",
    "nothing_set_aside",
)
"""All but the one that reads what the Faust application wrote."""

ONE = Decimal(1)
SKUS, CUSTOMERS = ("pen", "ink"), ("anna", "bert")


def violations(shop: TopologyTest) -> list[str]:
    """What the checks find wrong."""
    return [f"{r.name}: {example}" for r in shop.check(*CHECKS) for example in r.examples]


@pytest.mark.parametrize("seed", range(4))
def test_generated_orders_in_random_order_with_crashes(topology: Topology, seed: int) -> None:
    """Hundreds of orders, three partitions, any interleaving, every fifth step aborted and done again."""
    shop = TopologyTest(topology, partitions=3, rng=random.Random(seed), crashes=0.2)
    shop.produce("orders", count=300, seed=seed, customers=20, skus=20)
    shop.run()
    assert violations(shop) == []
    ends = Counter(record.event.outcome for record in shop.events("order-outcomes"))
    assert set(ends) == {"confirmed", "out-of-stock", "declined", "cancelled"}


@st.composite
def trade(draw: st.DrawFn) -> list[Event]:
    """A handful of orders and cancellations of them; a cancellation may be early, repeated or another's."""
    lines = st.builds(
        OrderLine,
        sku=st.sampled_from(SKUS),
        quantity=st.integers(1, 3),
        price=st.sampled_from([Decimal(300)]),
    )
    orders = draw(
        st.lists(
            st.tuples(st.sampled_from(CUSTOMERS), st.lists(lines, min_size=1, max_size=3)),
            min_size=1,
            max_size=5,
        )
    )
    events: list[Event] = [
        OrderPlaced(order_id=f"o-{n}", customer_id=customer, lines=tuple(lines))
        for n, (customer, lines) in enumerate(orders)
    ]
    cancels = st.tuples(st.integers(0, len(orders)), st.sampled_from(CUSTOMERS), st.integers(0, 10))
    for number, customer, at in draw(st.lists(cancels, max_size=4)):
        events.insert(min(at, len(events)), OrderCancelled(order_id=f"o-{number}", customer_id=customer))
    return events


# The fixture is a frozen declaration, the same for all examples.
@settings(max_examples=150, deadline=None)
@given(
    events=trade(),
    stock=st.tuples(*[st.integers(1, 6) for _ in SKUS]),
    partitions=st.integers(1, 2),
    seed=st.integers(0, 2**32),
)
def test_every_interleaving_ends_well(
    topology: Topology, events: list[Event], stock: tuple[int, ...], partitions: int, seed: int
) -> None:
    """Whatever is read first, and wherever it crashes, all invariants hold at the end."""
    shop = TopologyTest(topology, partitions=partitions, rng=random.Random(seed), crashes=0.1)
    shop.publish("stock-movements", *map(_received, SKUS, stock))
    shop.publish("orders", *events)
    shop.run()
    assert violations(shop) == []


def _received(sku: str, quantity: int) -> StockReceived:
    return StockReceived(sku=sku, quantity=quantity)


@pytest.fixture
def traded(topology: Topology) -> TopologyTest:
    """The shop after some orders, with all invariants holding."""
    shop = TopologyTest(topology)
    shop.produce("orders", count=100)
    shop.run()
    assert violations(shop) == []
    return shop


@pytest.mark.parametrize(
    ("topic", "event", "failing"),
    [
        (
            "orders",
            OrderPlaced(order_id="o", customer_id="c", lines=(OrderLine(sku="s", quantity=1, price=ONE),)),
            0,
        ),
        (
            "order-outcomes",
            OrderClosed(order_id="o-7-0000001", customer_id="c", outcome="declined", total=ONE),
            0,
        ),
        ("order-outcomes", OrderClosed(order_id="o", customer_id="c", outcome="confirmed", total=ONE), 0),
        ("stock-movements", StockReceived(sku="sku-00001", quantity=1), 1),
        ("order-lines", LineRequested(sku="sku-00001", order_id="o", line=0, quantity=1), 1),
        ("ledger-entries", LedgerEntry(account="sales", order_id="o", amount=Decimal("0.01")), 2),
        (
            "payment-requests",
            PaymentRequested(customer_id="c-000001", order_id="o", amount=Decimal("0.01")),
            3,
        ),
    ],
)
def test_a_lost_or_doubled_record_is_found(
    traded: TopologyTest, topic: str, event: Event, failing: int
) -> None:
    """The check that watches over a topic fails when one record too many, or one unprocessed, is in it."""
    traded.publish(topic, event)
    if topic not in ("orders", "stock-movements"):
        traded.run()
    results = traded.check(*CHECKS)
    assert not results[failing].ok
    assert results[failing].examples

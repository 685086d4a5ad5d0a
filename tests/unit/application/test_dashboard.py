"""The dashboard's counters, and the check that compares them with the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from holdfast.testing import TopologyTest
from processors.dashboard import BOUGHT, ORDERS
from processors.dashboard_invariants import compare_dashboard
from schemas.orders import OrderClosed, Outcome
from tests.support.gateway import gateway_in_memory

ROOT = Path(__file__).parents[3]
Held = dict[str, Counter[str]]
ENDS: tuple[tuple[str, Outcome, str], ...] = (
    ("anna", "confirmed", "12.50"),
    ("anna", "confirmed", "0.29"),
    ("bert", "declined", "99.00"),
    ("bert", "confirmed", "7.00"),
)


class Shop:
    """The application in memory after some orders came to their end, and what Redis holds then."""

    def __init__(self, folder: Path) -> None:
        with gateway_in_memory(folder) as gateway:
            self.log = TopologyTest(ROOT / "topology.downstream.yaml", clients={"gateway": gateway})
            for number, (customer, outcome, total) in enumerate(ENDS):
                closed = {"order_id": f"o-{number}", "customer_id": customer, "outcome": outcome}
                self.log.publish("order-outcomes", OrderClosed(**closed, total=Decimal(total)))
            self.log.run()
        self.held: Held = {ORDERS: Counter(), BOUGHT: Counter()}
        for write in self.log.sink_writes("dashboard"):
            self.held[write.key][write.field] += write.by


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The application with all in order."""
    return Shop(tmp_path)


def test_each_end_is_counted_and_what_was_confirmed_is_added_up(shop: Shop) -> None:
    """In cents: none of them gets lost in a fraction."""
    assert shop.held == {ORDERS: {"confirmed": 3, "declined": 1}, BOUGHT: {"anna": 1279, "bert": 700}}
    result = compare_dashboard(shop.log, shop.held)
    assert (result.ok, result.counts) == (True, {"orders": 4})


def counted_twice(held: Held) -> None:
    held[ORDERS]["confirmed"] += 1


def never_counted(held: Held) -> None:
    del held[ORDERS]["declined"]


def wrong_amount(held: Held) -> None:
    held[BOUGHT]["anna"] -= 1


def of_nobody(held: Held) -> None:
    held[BOUGHT]["nobody"] = 5


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (counted_twice, "shop:orders confirmed: 4, the log says 3"),
        (never_counted, "shop:orders declined: 0, the log says 1"),
        (wrong_amount, "shop:bought anna: 1278, the log says 1279"),
        (of_nobody, "shop:bought nobody: 5, the log says 0"),
    ],
)
def test_a_wrong_counter_is_found(shop: Shop, damage: Callable[[Held], None], said: str) -> None:
    """Each on its own."""
    damage(shop.held)
    assert compare_dashboard(shop.log, shop.held).examples == (said,)

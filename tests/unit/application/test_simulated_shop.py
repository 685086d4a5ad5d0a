"""The reference application under faults: its invariants hold for every seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.testing.simulation import Simulation

TOPOLOGY = Path(__file__).parents[3] / "topology.yaml"
INVARIANTS = (
    "every_order_is_closed_once",
    "stock_is_conserved",
    "ledger_balances",
    "credit_is_kept",
    "nothing_set_aside",
)


@pytest.mark.parametrize("seed", range(5))
def test_the_shops_invariants_hold_under_faults(seed: int) -> None:
    """Five processors in a row, two workers each."""
    shop = Simulation(TOPOLOGY, seed=seed, workers=2, checks=INVARIANTS)
    assert shop.produce("orders", count=60) > 60
    shop.run()
    closed = list(shop.log.events("order-outcomes"))
    assert len(closed) == 60

"""The reference application with its gateway and its database: what an answer means, and what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from holdfast.errors import SinkDown
from holdfast.testing import TopologyTest
from holdfast.topology import Topology, load
from processors.payments import payments
from schemas.orders import OrderLine, OrderPlaced
from schemas.payments import PaymentApproved, PaymentDeclined, PaymentRequested, PaymentReversed
from schemas.stock import StockReceived
from tests.support.gateway import GatewayInMemory, gateway_in_memory

ROOT = Path(__file__).parents[3]
REQUEST = PaymentRequested(order_id="o-1", customer_id="anna", amount=Decimal("12.50"))
REVERSED = PaymentReversed(order_id="o-1", customer_id="anna", amount=Decimal("12.50"))


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayInMemory]:
    """The gateway."""
    with gateway_in_memory(tmp_path, limit="100.00") as gateway:
        yield gateway


def handle(event: PaymentRequested | PaymentReversed, gateway: GatewayInMemory) -> object:
    """What the handler makes of an event."""
    return asyncio.run(payments(event, gateway))


def test_the_file_differs_from_topology_yaml_in_the_systems_around_it_only(topology: Topology) -> None:
    """So that the two do not grow apart."""
    downstream = load(ROOT / "topology.downstream.yaml")
    assert downstream.topics == topology.topics
    assert downstream.producers == topology.producers
    assert set(downstream.processors) - set(topology.processors) == {
        "payments",
        "order-history",
        "ledger-history",
        "dashboard",
    }
    assert set(topology.processors) - set(downstream.processors) == {"credit"}
    same = set(topology.processors) & set(downstream.processors)
    assert {n: downstream.processors[n] for n in same} == {n: topology.processors[n] for n in same}
    assert set(topology.checks) - set(downstream.checks) == {"processors.invariants:credit_is_kept"}


def test_what_the_gateway_decides_becomes_an_event(gateway: GatewayInMemory) -> None:
    """A payment beyond the limit is declined: business, and no error."""
    of = {"order_id": "o-1", "customer_id": "anna"}
    assert handle(REQUEST, gateway) == PaymentApproved(**of, amount=Decimal("12.50"))
    more = PaymentRequested(order_id="o-2", customer_id="anna", amount=Decimal("90.00"))
    assert handle(more, gateway) == PaymentDeclined(
        order_id="o-2", customer_id="anna", amount=Decimal("90.00")
    )
    assert handle(REVERSED, gateway) is None
    assert [e.outcome for e in gateway.audit()] == ["charged", "declined", "refunded"]


@pytest.mark.parametrize("kind", ["malformed", "wrong-schema", "other-order", "other-amount"])
@pytest.mark.parametrize("done", [0, 1])
def test_a_wrong_answer_is_no_success_and_is_asked_for_again(
    gateway: GatewayInMemory, kind: str, done: int
) -> None:
    """Whether or not money was taken: then it is not taken twice."""
    gateway.fail({"kind": kind, "done": done})
    with pytest.raises(SinkDown, match="o-1"):
        handle(REQUEST, gateway)
    gateway.fail()
    assert isinstance(handle(REQUEST, gateway), PaymentApproved)
    assert [e.outcome for e in gateway.audit()] == (
        ["charged", "repeated"] if done else ["failed", "charged"]
    )


def test_a_declined_answer_about_another_order_is_not_believed(gateway: GatewayInMemory) -> None:
    """Nobody is refused for somebody else's lack of money."""
    gateway.fail({"kind": "other-order", "done": 1})
    with pytest.raises(SinkDown, match="something else"):
        handle(PaymentRequested(order_id="o-2", customer_id="anna", amount=Decimal(101)), gateway)


def test_a_refused_call_is_a_mistake_that_stops_the_shard(gateway: GatewayInMemory) -> None:
    """A refund of what was never charged cannot be had by asking again."""
    with pytest.raises(ValueError, match="refuses the payment of order o-1: 409"):
        handle(REVERSED, gateway)


def test_an_order_is_charged_booked_and_shown(gateway: GatewayInMemory) -> None:
    """The good case, from the order to the rows."""
    shop = TopologyTest(ROOT / "topology.downstream.yaml", clients={"gateway": gateway})
    shop.publish("stock-movements", StockReceived(sku="pen", quantity=5))
    shop.run()
    line = OrderLine(sku="pen", quantity=2, price=Decimal("10.00"))
    shop.publish("orders", OrderPlaced(order_id="o-1", customer_id="anna", lines=(line,)))
    shop.run()
    assert [r.event.outcome for r in shop.events("order-outcomes")] == ["confirmed"]
    assert [(e.outcome, e.amount) for e in gateway.audit()] == [("charged", Decimal("20.00"))]
    rows = [write.row for write in shop.sink_writes("order-history") if write.table == "orders"]
    merged = {name: value for row in rows for name, value in row.items()}
    assert merged == {
        "order_id": "o-1",
        "customer_id": "anna",
        "total": Decimal("20.00"),
        "lines": 1,
        "paid": True,
        "outcome": "confirmed",
    }
    assert len(shop.sink_writes("ledger-history")) == 2

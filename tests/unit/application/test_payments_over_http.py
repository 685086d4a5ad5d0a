"""The payments handler asks a real gateway over HTTP: whatever goes wrong, an order is charged once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import get_args

import pytest

from gateway.faults import FaultKind
from holdfast.errors import SinkDown
from holdfast.sinks.http.service import HttpService, HttpSettings
from processors.payments import payments
from schemas.payments import PaymentApproved, PaymentRequested
from tests.support.gateway import GatewayProcess, gateway_process

KINDS = tuple(kind for kind in get_args(FaultKind) if kind != "latency")
"""All but the one that is answered rightly in the end."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One gateway for the tests of this file."""
    with gateway_process(tmp_path_factory.mktemp("gateway") / "journal") as gateway:
        yield gateway


def pay(gateway: GatewayProcess, order_id: str) -> object:
    """Handle the request for an order's payment, with the same key each time."""
    request = PaymentRequested(order_id=order_id, customer_id="anna", amount=Decimal("12.50"))

    async def ask() -> object:
        service = HttpService(HttpSettings("gateway", gateway.url, call_s=0.5, attempts=1))
        try:
            return await payments(request, service.client_for(f"key/{order_id}"))
        finally:
            await service.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_is_a_gateway_that_is_down_and_nothing_is_charged_twice(
    gateway: GatewayProcess, kind: FaultKind, done: int
) -> None:
    """Whether it did its work all the same or not."""
    order_id = f"{kind}-{done}"
    gateway.fail({"kind": kind, "done": done})
    for _ in range(2):
        with pytest.raises(SinkDown):
            pay(gateway, order_id)
    gateway.heal()
    assert isinstance(pay(gateway, order_id), PaymentApproved)
    outcomes = [entry.outcome for entry in gateway.audit() if entry.order_id == order_id]
    assert len(outcomes) == 3
    assert outcomes.count("charged") == 1


def test_a_slow_answer_is_as_good_as_a_quick_one(gateway: GatewayProcess) -> None:
    """As long as it comes in time."""
    gateway.fail({"kind": "latency", "seconds": 0.2})
    assert isinstance(pay(gateway, "slow"), PaymentApproved)


def test_a_gateway_that_is_gone_is_down(gateway: GatewayProcess) -> None:
    """Started again it knows what it charged."""
    gateway.heal()
    assert isinstance(pay(gateway, "before"), PaymentApproved)
    gateway.kill()
    try:
        with pytest.raises(SinkDown):
            pay(gateway, "before")
    finally:
        gateway.start()
    assert isinstance(pay(gateway, "before"), PaymentApproved)
    outcomes = [entry.outcome for entry in gateway.audit() if entry.order_id == "before"]
    assert outcomes == ["charged", "repeated"]

"""The checks of the gateway and the database see every kind of damage, and nothing where there is none."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from holdfast.checks import CheckResult
from holdfast.testing import TopologyTest
from holdfast.topology import Topology, load
from processors.credit import LIMIT
from processors.downstream_invariants import Call, History, OrderRow, compare_charges, compare_history
from schemas.orders import OrderClosed
from schemas.payments import PaymentApproved, PaymentRequested
from tests.support.gateway import gateway_in_memory

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def downstream() -> Topology:
    """The declaration."""
    return load(ROOT / "topology.downstream.yaml")


class Shop:
    """The application in memory after some orders, and what the systems around it hold.

    Attributes:
        calls: the gateway's audit.
        history: what is in the database.
    """

    def __init__(self, topology: Topology, folder: Path, orders: int, seed: int = 7, crashes: float = 0.0):
        with gateway_in_memory(folder, limit=str(LIMIT)) as gateway:
            self.log = TopologyTest(
                topology,
                partitions=3,
                rng=random.Random(seed),
                crashes=crashes,
                clients={"gateway": gateway},
            )
            self.log.produce("orders", count=orders, seed=seed, customers=orders // 30, skus=20)
            self.log.run()
            self.calls = [Call.model_validate(entry.model_dump()) for entry in gateway.audit()]
        self.history = self._written()

    def _written(self) -> History:
        history = History()
        for processor in ("order-history", "ledger-history"):
            for write in self.log.sink_writes(processor):
                row = dict(write.row)
                if write.table == "orders":
                    order_id = row.pop("order_id")
                    history.orders[order_id] = history.orders.get(order_id, OrderRow())._replace(**row)
                elif write.table == "payments":
                    history.payments[tuple(row.values())] += 1
                else:
                    history.ledger[(row["account"], row["order_id"], row["amount"])] += 1
        return history

    def check(self) -> list[CheckResult]:
        """What the two checks find."""
        return [compare_charges(self.log, self.calls), compare_history(self.log, self.history)]


@pytest.fixture
def shop(downstream: Topology, tmp_path: Path) -> Shop:
    """The application with all in order."""
    return Shop(downstream, tmp_path, orders=60)


@pytest.mark.parametrize("seed", range(3))
def test_all_holds_in_any_interleaving_and_over_crashes(
    downstream: Topology, tmp_path: Path, seed: int
) -> None:
    """Every outcome is among them, reversed payments too, and questions that were asked again."""
    shop = Shop(downstream, tmp_path, orders=300, seed=seed, crashes=0.2)
    results = [*shop.log.check(*CHECKS), *shop.check()]
    assert [example for result in results for example in result.examples] == []
    outcomes = {call.outcome for call in shop.calls}
    assert outcomes >= {"charged", "declined", "repeated"}
    ends = {record.event.outcome for record in shop.log.events("order-outcomes")}
    assert ends == {"confirmed", "out-of-stock", "declined", "cancelled"}


CHECKS = ("every_order_is_closed_once", "stock_is_conserved", "ledger_balances", "nothing_set_aside")


def first(shop: Shop, outcome: str) -> Call:
    """The first call of which this came."""
    return next(call for call in shop.calls if call.outcome == outcome)


def doubled_under_another_key(shop: Shop) -> None:
    shop.calls.append(first(shop, "charged").model_copy(update={"key": "another"}))


def doubled_under_its_key(shop: Shop) -> None:
    shop.calls.append(first(shop, "charged"))


def charge_missing(shop: Shop) -> None:
    shop.calls.remove(first(shop, "charged"))


def amount_wrong(shop: Shop) -> None:
    call = first(shop, "charged")
    at = shop.calls.index(call)
    shop.calls[at] = call.model_copy(update={"amount": call.amount + Decimal("0.01")})


def customer_wrong(shop: Shop) -> None:
    call = first(shop, "charged")
    shop.calls[shop.calls.index(call)] = call.model_copy(update={"customer_id": "somebody"})


def charged_though_nobody_asked(shop: Shop) -> None:
    shop.calls.append(first(shop, "charged").model_copy(update={"key": "x", "order_id": "o-none"}))


def declined_was_charged(shop: Shop) -> None:
    shop.calls.append(first(shop, "declined").model_copy(update={"key": "x", "outcome": "charged"}))


def refunded_for_no_reason(shop: Shop) -> None:
    shop.calls.append(first(shop, "charged").model_copy(update={"key": "x", "outcome": "refunded"}))


def key_reused(shop: Shop) -> None:
    shop.calls.append(first(shop, "charged").model_copy(update={"outcome": "key-reused"}))


def question_without_answer(shop: Shop) -> None:
    shop.log.publish("payment-requests", PaymentRequested(order_id="o-x", customer_id="c", amount=Decimal(1)))


def approval_of_nothing(shop: Shop) -> None:
    shop.log.publish("payments", PaymentApproved(order_id="o-x", customer_id="c", amount=Decimal(1)))


def confirmed_without_payment(shop: Shop) -> None:
    event = OrderClosed(order_id="o-x", customer_id="c", outcome="confirmed", total=Decimal(1))
    shop.log.publish("order-outcomes", event)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (doubled_under_another_key, "charged 2 times"),
        (doubled_under_its_key, "charged 2 times"),
        (charge_missing, "but charged nothing"),
        (amount_wrong, "but charged"),
        (customer_wrong, "of several customers"),
        (charged_though_nobody_asked, "order o-none: approved over nothing"),
        (declined_was_charged, "approved over nothing"),
        (refunded_for_no_reason, "reversed over nothing"),
        (key_reused, "refused as key-reused"),
        (question_without_answer, "1 was asked for, and nothing decided"),
        (approval_of_nothing, "order o-x: approved over 1, but charged nothing"),
        (confirmed_without_payment, "order o-x: the order cost 1, and 0 was taken"),
    ],
)
def test_a_wrong_charge_is_found(shop: Shop, damage: Callable[[Shop], None], said: str) -> None:
    """A doubled one, a missing one, a wrong amount, ...: each on its own."""
    damage(shop)
    result = compare_charges(shop.log, shop.calls)
    assert not result.ok
    assert any(said in example for example in result.examples), result.examples


def row_missing(history: History) -> None:
    history.orders.popitem()


def row_too_many(history: History) -> None:
    history.orders["o-none"] = OrderRow("c", Decimal(1), 1)


def total_wrong(history: History) -> None:
    key, row = next(iter(history.orders.items()))
    assert row.total is not None
    history.orders[key] = row._replace(total=row.total + Decimal("0.01"))


def outcome_missing(history: History) -> None:
    key, row = next((k, row) for k, row in history.orders.items() if row.outcome)
    history.orders[key] = row._replace(outcome=None)


def payment_doubled(history: History) -> None:
    history.payments[next(iter(history.payments))] += 1


def payment_missing(history: History) -> None:
    del history.payments[next(iter(history.payments))]


def booking_doubled(history: History) -> None:
    history.ledger[next(iter(history.ledger))] += 1


def booking_missing(history: History) -> None:
    del history.ledger[next(iter(history.ledger))]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (row_missing, "no row, the log says"),
        (row_too_many, "the log says no row"),
        (total_wrong, "the log says"),
        (outcome_missing, "outcome None, the log says"),
        (payment_doubled, "2 times, the log says 1"),
        (payment_missing, "0 times, the log says 1"),
        (booking_doubled, "2 times, the log says 1"),
        (booking_missing, "0 times, the log says 1"),
    ],
)
def test_a_wrong_row_is_found(shop: Shop, damage: Callable[[History], None], said: str) -> None:
    """A missing row, a doubled one, a wrong total, ...: each on its own."""
    damage(shop.history)
    result = compare_history(shop.log, shop.history)
    assert result.violations == 1
    assert said in result.examples[0]


def test_a_record_that_was_not_projected_is_found(shop: Shop) -> None:
    """The log has it and the database does not."""
    event = OrderClosed(order_id="o-x", customer_id="c", outcome="declined", total=Decimal(1))
    shop.log.publish("order-outcomes", event)
    (example,) = compare_history(shop.log, shop.history).examples
    assert example.startswith("orders o-x: no row, the log says")
    assert "outcome declined" in example

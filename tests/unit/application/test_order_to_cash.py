"""How single orders go through the reference application."""

from __future__ import annotations

from decimal import Decimal

from holdfast.testing import TopologyTest
from processors.credit import LIMIT
from schemas.orders import OrderCancelled, OrderLine, OrderPlaced
from schemas.payments import PaymentApproved, PaymentReversed
from schemas.stock import LineReserved, StockReceived


def order(order_id: str = "o-1", customer_id: str = "anna", **pieces: int) -> OrderPlaced:
    """An order of so many pieces of each sku, at 10.00 a piece."""
    lines = tuple(OrderLine(sku=sku, quantity=n, price=Decimal("10.00")) for sku, n in pieces.items())
    return OrderPlaced(order_id=order_id, customer_id=customer_id, lines=lines)


def outcomes(shop: TopologyTest) -> dict[str, str]:
    """How each order ended."""
    return {record.event.order_id: record.event.outcome for record in shop.events("order-outcomes")}


def stocked(shop: TopologyTest, **pieces: int) -> TopologyTest:
    """The shop after so many pieces of each sku came in."""
    shop.publish("stock-movements", *(StockReceived(sku=sku, quantity=n) for sku, n in pieces.items()))
    shop.run()
    return shop


def remaining(shop: TopologyTest) -> dict[str, int]:
    """Pieces of each sku that can still be promised."""
    return {sku: level.remaining for sku, level in shop.table("inventory", "stock").items()}


def test_an_order_with_stock_and_credit_is_confirmed_and_booked(shop: TopologyTest) -> None:
    """The good case: stock is reserved, the credit used, both sides of the booking made."""
    stocked(shop, pen=5, ink=5).publish("orders", order(pen=2, ink=1))
    shop.run()
    assert outcomes(shop) == {"o-1": "confirmed"}
    assert remaining(shop) == {"pen": 3, "ink": 4}
    assert shop.table("credit", "accounts")["anna"].used == Decimal("30.00")
    assert shop.table("ledger", "balances") == {"customer:anna": Decimal(30), "sales": Decimal(-30)}


def test_an_order_without_enough_stock_gives_back_what_it_had_reserved(shop: TopologyTest) -> None:
    """One refused line ends the order; the other line's pieces are free again."""
    stocked(shop, pen=5, ink=1).publish("orders", order(pen=2, ink=2))
    shop.run()
    assert outcomes(shop) == {"o-1": "out-of-stock"}
    assert remaining(shop) == {"pen": 5, "ink": 1}
    assert not list(shop.events("payment-requests"))


def test_two_lines_of_one_article_are_two_reservations(shop: TopologyTest) -> None:
    """Lines are told apart by their number, not by their article."""
    line = OrderLine(sku="pen", quantity=2, price=Decimal(1))
    stocked(shop, pen=3).publish(
        "orders", OrderPlaced(order_id="o-1", customer_id="anna", lines=(line, line))
    )
    shop.run()
    assert outcomes(shop) == {"o-1": "out-of-stock"}
    assert remaining(shop) == {"pen": 3}


def test_an_order_above_the_credit_limit_is_declined(shop: TopologyTest) -> None:
    """The limit itself may be reached; the next cent may not be used."""
    pieces = int(LIMIT / 10)
    stocked(shop, pen=2 * pieces).publish("orders", order("o-1", pen=pieces), order("o-2", pen=1))
    shop.run()
    assert outcomes(shop) == {"o-1": "confirmed", "o-2": "declined"}
    assert remaining(shop) == {"pen": pieces}
    assert shop.table("credit", "accounts")["anna"].used == LIMIT


def test_a_cancellation_right_after_the_order_frees_its_stock(shop: TopologyTest) -> None:
    """Cancelled while its lines are asked for: the order waits for the answers and gives them back."""
    order_ = order(pen=2)
    stocked(shop, pen=5).publish("orders", order_, OrderCancelled(order_id="o-1", customer_id="anna"))
    shop.run()
    assert outcomes(shop) == {"o-1": "cancelled"}
    assert remaining(shop) == {"pen": 5}


def test_a_cancellation_during_payment_reverses_the_payment(shop: TopologyTest) -> None:
    """The approval that was on its way is taken back from the customer's credit."""
    # The two answers are written by hand, so that the cancellation can be put between them.
    shop.publish("orders-by-id", order(pen=2))
    shop.publish("reservations", LineReserved(order_id="o-1", line=0, sku="pen", quantity=2))
    shop.publish("orders-by-id", OrderCancelled(order_id="o-1", customer_id="anna"))
    approval = PaymentApproved(order_id="o-1", customer_id="anna", amount=Decimal(20))
    saga = next(shard for shard in shop.shards("order-saga"))
    saga.work_on("orders-by-id", 1)
    saga.work_on("reservations", 1)
    saga.work_on("orders-by-id", 1)
    shop.publish("payments", approval)
    saga.work_on("payments", 1)
    assert outcomes(shop) == {"o-1": "cancelled"}
    assert [r.event for r in shop.events("payment-requests") if isinstance(r.event, PaymentReversed)] == [
        PaymentReversed(customer_id="anna", order_id="o-1", amount=Decimal("20.00"))
    ]


def test_a_cancellation_after_the_end_changes_nothing(shop: TopologyTest) -> None:
    """A closed order stays as it ended."""
    stocked(shop, pen=5).publish("orders", order(pen=2))
    shop.run()
    shop.publish("orders", OrderCancelled(order_id="o-1", customer_id="anna"))
    shop.run()
    assert outcomes(shop) == {"o-1": "confirmed"}
    assert len(list(shop.events("order-outcomes"))) == 1


def test_a_cancellation_of_an_unknown_order_is_ignored(shop: TopologyTest) -> None:
    """There is nothing to end, so nothing ends."""
    shop.publish("orders", OrderCancelled(order_id="o-9", customer_id="anna"))
    shop.run()
    assert outcomes(shop) == {}
    assert not list(shop.dead_letters())


def test_nobody_can_cancel_somebody_elses_order(shop: TopologyTest) -> None:
    """A cancellation counts only from the customer who placed the order."""
    stocked(shop, pen=5).publish("orders", order(pen=2), OrderCancelled(order_id="o-1", customer_id="eve"))
    shop.run()
    assert outcomes(shop) == {"o-1": "confirmed"}


def test_an_order_that_is_placed_twice_counts_once(shop: TopologyTest) -> None:
    """A source that repeats itself neither reserves nor charges again."""
    stocked(shop, pen=5).publish("orders", order(pen=2), order(pen=2))
    shop.run()
    shop.publish("orders", order(pen=2))
    shop.run()
    assert len(list(shop.events("order-outcomes"))) == 1
    assert remaining(shop) == {"pen": 3}
    assert shop.table("credit", "accounts")["anna"].used == Decimal("20.00")


def test_a_record_that_is_no_order_is_set_aside_and_the_others_go_on(shop: TopologyTest) -> None:
    """The bytes are kept as a dead letter, and the check of the dead letters tells."""
    shop.publish_raw("orders", b"{nonsense", key=b"anna")
    stocked(shop, pen=5).publish("orders", order(pen=2))
    shop.run()
    assert [letter.value() for letter in shop.dead_letters()] == [b"{nonsense"]
    assert outcomes(shop) == {"o-1": "confirmed"}
    (result,) = shop.check("nothing_set_aside")
    assert not result.ok

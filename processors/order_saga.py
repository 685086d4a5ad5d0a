"""Leads each order to its end: reserve every line, then ask for payment, and undo what must not stand.

The saga reads three topics. Kafka keeps no order between them, so an event may find the order in any
state; these rules make every interleaving end well:

- An order waits for the answers to *all* its lines before it decides, so no answer is left over.
- A cancellation is only noted. It takes effect at the next decision, when all answers are there.
- A closed order changes no more: later cancellations and repeated placements have no effect.

An answer always finds its order, because the question was committed together with the order's state.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast import Event, State, processor
from schemas.ledger import LedgerEntry
from schemas.orders import Order, OrderCancelled, OrderClosed, OrderPlaced, Outcome
from schemas.payments import PaymentApproved, PaymentDeclined, PaymentRequested, PaymentReversed
from schemas.stock import LineRefused, LineReleased, LineRequested, LineReserved

Input = OrderPlaced | OrderCancelled | LineReserved | LineRefused | PaymentApproved | PaymentDeclined


@processor
def order_saga(event: Input, orders: State[Order]) -> Iterator[Event]:
    """Note what happened to the order, decide what follows, and keep its new state."""
    order = orders.get()
    if order is None:
        # Anything else is about an order that nobody placed, such as a cancellation with a wrong number.
        if isinstance(event, OrderPlaced):
            orders.set(Order(placed=event))
            yield from _request_lines(event)
        return
    if order.placed is None:
        return
    noted = _note(order, order.placed, event)
    match event:
        case LineReserved() | LineRefused() if not noted.paying:
            decided, outputs = _after_line(noted, order.placed)
        case PaymentApproved():
            decided, outputs = _after_approval(noted, order.placed)
        case PaymentDeclined():
            decided, outputs = _close(noted, order.placed, "cancelled" if noted.cancelled else "declined")
        case _:
            decided, outputs = noted, []
    orders.set(decided)
    yield from outputs


def _note(order: Order, placed: OrderPlaced, event: Input) -> Order:
    match event:
        case LineReserved():
            return order.model_copy(update={"reserved": order.reserved | {event.line}})
        case LineRefused():
            return order.model_copy(update={"refused": order.refused | {event.line}})
        case OrderCancelled() if event.customer_id == placed.customer_id:
            return order.model_copy(update={"cancelled": True})
    return order


def _after_line(order: Order, placed: OrderPlaced) -> tuple[Order, list[Event]]:
    if len(order.reserved) + len(order.refused) < len(placed.lines):
        return order, []
    if order.cancelled:
        return _close(order, placed, "cancelled")
    if order.refused:
        return _close(order, placed, "out-of-stock")
    payment = PaymentRequested(customer_id=placed.customer_id, order_id=placed.order_id, amount=placed.total)
    return order.model_copy(update={"paying": True}), [payment]


def _after_approval(order: Order, placed: OrderPlaced) -> tuple[Order, list[Event]]:
    if not order.cancelled:
        return _close(order, placed, "confirmed")
    closed, outputs = _close(order, placed, "cancelled")
    refund = PaymentReversed(customer_id=placed.customer_id, order_id=placed.order_id, amount=placed.total)
    return closed, [refund, *outputs]


def _close(order: Order, placed: OrderPlaced, outcome: Outcome) -> tuple[Order, list[Event]]:
    """End the order. Of its state only the outcome is kept, so that a repeated placement is recognised."""
    follows = _bookings(placed) if outcome == "confirmed" else _releases(order, placed)
    end = OrderClosed(
        order_id=placed.order_id, customer_id=placed.customer_id, outcome=outcome, total=placed.total
    )
    return Order(placed=None, outcome=outcome), [*follows, end]


def _request_lines(placed: OrderPlaced) -> Iterator[LineRequested]:
    for number, line in enumerate(placed.lines):
        yield LineRequested(sku=line.sku, order_id=placed.order_id, line=number, quantity=line.quantity)


def _releases(order: Order, placed: OrderPlaced) -> Iterator[LineReleased]:
    for number in sorted(order.reserved):
        line = placed.lines[number]
        yield LineReleased(sku=line.sku, order_id=placed.order_id, line=number, quantity=line.quantity)


def _bookings(placed: OrderPlaced) -> Iterator[LedgerEntry]:
    customer = f"customer:{placed.customer_id}"
    yield LedgerEntry(account=customer, order_id=placed.order_id, amount=placed.total)
    yield LedgerEntry(account="sales", order_id=placed.order_id, amount=-placed.total)

"""Has orders paid by the payment gateway: asks it for each payment, and to give back what is reversed.

In topology.downstream.yaml it stands where `credit` stands in topology.yaml: it reads and writes the same
topics. What an answer means:

- 201 for this order and amount: the event says so.
- 402: the customer has not enough. That is business, and an event.
- An answer that cannot be read, or is about another order or amount, is no success, and no fault of the
  order: money may have been taken. It counts as a gateway that is down, so the order waits and the same
  question is asked again, under the same key, until there is an answer that can be believed.
- Anything else (400, 409, 422, ...) is a mistake of ours. The shard stops at the record; nothing is skipped.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ValidationError

from holdfast import processor
from holdfast.errors import SinkDown
from holdfast.sinks.http import HttpAnswer, HttpClient
from schemas.money import Money
from schemas.payments import PaymentApproved, PaymentDeclined, PaymentRequested, PaymentReversed

DECLINED = 402


class Settled(BaseModel, frozen=True):
    """What the gateway says about an order."""

    status: Literal["charged", "refunded", "declined"]
    order_id: str
    amount: Money


@processor
async def payments(
    event: PaymentRequested | PaymentReversed, gateway: HttpClient
) -> PaymentApproved | PaymentDeclined | None:
    """Have the amount charged, or refunded if it was reversed."""
    if isinstance(event, PaymentReversed):
        answer = await gateway.post("/refunds", json=event)
        require(answer, event, "refunded")
        return None
    answer = await gateway.post("/charges", json=event)
    if answer.status == DECLINED:
        require(answer, event, "declined")
        return PaymentDeclined(order_id=event.order_id, customer_id=event.customer_id, amount=event.amount)
    require(answer, event, "charged")
    return PaymentApproved(order_id=event.order_id, customer_id=event.customer_id, amount=event.amount)


def require(answer: HttpAnswer, event: PaymentRequested | PaymentReversed, status: str) -> None:
    """Refuse an answer that does not say what its number says, about this very order and amount.

    Raises:
        SinkDown: it is about something else, or nothing; it is worth asking again.
        ValueError: the gateway refuses the call itself.
    """
    if not answer.is_success and answer.status != DECLINED:
        raise ValueError(f"the gateway refuses the payment of order {event.order_id}: {answer}")
    try:
        settled = Settled.model_validate_json(answer.content)
    except ValidationError as error:
        raise SinkDown(f"the gateway's answer for order {event.order_id} cannot be read: {answer}") from error
    if (settled.status, settled.order_id, settled.amount) != (status, event.order_id, event.amount):
        raise SinkDown(
            f"the gateway was asked about order {event.order_id} over {event.amount} and answered about "
            f"something else: {answer}"
        )

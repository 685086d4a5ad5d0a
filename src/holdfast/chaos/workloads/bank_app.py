"""The application of the workload `bank`: money moves between accounts and is never made or lost.

A transfer is taken from its source when it is handled, and sent to its target as a credit: two records of two
keys, so of two shards, with a topic between them. What an account has is one state that both kinds change.
"""

from __future__ import annotations

from pydantic import BaseModel

from holdfast import Context, Event, State, processor

OPENING = 1_000
"""What every account has at first."""


class Transfer(Event):
    """An input: move `amount` from `source` to `target`; number `n` of its source, from 1 on."""

    source: str
    target: str
    amount: int
    n: int


class Credit(Event):
    """What goes to the target."""

    target: str
    amount: int
    transfer: str


class Account(BaseModel, frozen=True):
    """State of an account."""

    balance: int = OPENING


class Posting(Event):
    """An output: what an account has after one change, and which input made it."""

    account: str
    transfer: str
    amount: int
    balance: int
    topic: str
    partition: int
    offset: int


@processor
def handle(event: Transfer | Credit, accounts: State[Account], at: Context) -> list[Credit | Posting]:
    """Take from an account, or give to it. What an account has not got is not taken: nothing moves then."""
    balance = (accounts.get() or Account()).balance
    made: list[Credit | Posting] = []
    if isinstance(event, Transfer):
        account, transfer = event.source, f"{event.source}:{event.n}"
        amount = -min(event.amount, balance)
        made.append(Credit(target=event.target, amount=-amount, transfer=transfer))
    else:
        account, transfer, amount = event.target, event.transfer, event.amount
    accounts.set(Account(balance=balance + amount))
    posting = Posting(
        account=account,
        transfer=transfer,
        amount=amount,
        balance=balance + amount,
        topic=at.topic,
        partition=at.partition,
        offset=at.offset,
    )
    return [*made, posting]

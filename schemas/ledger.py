"""The ledger: double entries by account."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from holdfast import Event

SignedMoney = Annotated[Decimal, Field(max_digits=14, decimal_places=2)]
"""An amount in whole cents; above zero is a debit, below zero a credit."""


class LedgerEntry(Event):
    """One side of a booking; the entries of an order sum to zero."""

    account: str
    order_id: str
    amount: SignedMoney

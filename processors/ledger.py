"""Keeps the balance of each account."""

from __future__ import annotations

from decimal import Decimal

from holdfast import State, processor
from schemas.ledger import LedgerEntry


@processor
def ledger(entry: LedgerEntry, balances: State[Decimal]) -> None:
    """Add the entry to its account."""
    balances.set((balances.get() or Decimal(0)) + entry.amount)

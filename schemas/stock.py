"""Stock: what comes in, what orders ask for, and the answers."""

from __future__ import annotations

from pydantic import BaseModel, NonNegativeInt, PositiveInt

from holdfast import Event


class StockReceived(Event):
    """Pieces of an article arrived in the warehouse."""

    sku: str
    quantity: PositiveInt


class LineRequested(Event):
    """An order asks for pieces of an article."""

    sku: str
    order_id: str
    line: NonNegativeInt
    quantity: PositiveInt


class LineReleased(Event):
    """An order gives back pieces that were reserved for it."""

    sku: str
    order_id: str
    line: NonNegativeInt
    quantity: PositiveInt


class LineReserved(Event):
    """Pieces are set aside for a line of an order."""

    order_id: str
    line: NonNegativeInt
    sku: str
    quantity: PositiveInt


class LineRefused(Event):
    """There are not enough pieces for a line of an order."""

    order_id: str
    line: NonNegativeInt
    sku: str
    quantity: PositiveInt


class StockLevel(BaseModel, frozen=True):
    """State of the inventory: all pieces of an article that ever came in, and how many are promised."""

    received: NonNegativeInt = 0
    reserved: NonNegativeInt = 0

    @property
    def remaining(self) -> int:
        """Pieces that can still be promised."""
        return self.received - self.reserved

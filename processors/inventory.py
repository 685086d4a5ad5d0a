"""Keeps the stock of each article and promises it to orders, first come, first served."""

from __future__ import annotations

from holdfast import State, processor
from schemas.stock import LineRefused, LineReleased, LineRequested, LineReserved, StockLevel, StockReceived


@processor
def inventory(
    event: StockReceived | LineRequested | LineReleased, stock: State[StockLevel]
) -> LineReserved | LineRefused | None:
    """Count pieces in, set them aside for a line that asks, and take back what a line releases."""
    level = stock.get() or StockLevel()
    match event:
        case StockReceived():
            stock.set(StockLevel(received=level.received + event.quantity, reserved=level.reserved))
            return None
        case LineReleased():
            stock.set(StockLevel(received=level.received, reserved=level.reserved - event.quantity))
            return None
        case LineRequested() if event.quantity <= level.remaining:
            stock.set(StockLevel(received=level.received, reserved=level.reserved + event.quantity))
            return LineReserved(
                order_id=event.order_id, line=event.line, sku=event.sku, quantity=event.quantity
            )
    return LineRefused(order_id=event.order_id, line=event.line, sku=event.sku, quantity=event.quantity)

"""Amounts of money: decimal, never binary floating point."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

Money = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=2)]
"""An amount that is not negative, in whole cents."""

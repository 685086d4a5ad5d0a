"""The declarations of what becomes of records that fail."""

from __future__ import annotations

from pydantic import Field

from holdfast.declaration.base import Declared
from holdfast.topology.fields import Count, Fraction, Wait


class RetryDecl(Declared):
    """When the handler is called again for a record at which it raised.

    The record's input waits meanwhile, in its shard; everything else goes on. Each wait is a random part of a
    time that doubles.
    """

    attempts: Count | None = None
    """How often the handler is called for a record in all: 3 by default; not with `on_error: retry`."""

    first_wait_ms: Wait = Field(100, alias="first_wait")
    """How long the first wait is at most."""

    longest_wait_ms: Wait = Field(10_000, alias="longest_wait")
    """What it grows to at most."""


class LetterLimitDecl(Declared):
    """How many records of a shard may be set aside or dropped before it stops instead."""

    share: Fraction = 0.5
    """Of the last `of` records this fraction; 1 has no limit."""

    of: Count = 1_000
    """How many last records are looked at."""

    in_a_row: Count | None = None
    """How many without one in between that was handled. Not for what a sink refuses, or an async handler."""

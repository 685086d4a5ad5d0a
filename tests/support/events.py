"""Events of the applications that tests write. Copied into each of them, so it imports Holdfast only."""

from __future__ import annotations

from pydantic import BaseModel

from holdfast import Event


class Added(Event):
    """An input: add `n` under `key`."""

    key: str
    n: int
    text: str = ""


class Taken(Event):
    """Another input: take `n` from `key`."""

    key: str
    n: int


class Sum(BaseModel, frozen=True):
    """State of a key."""

    count: int = 0
    total: int = 0


class Folded(Event):
    """An output: what the state became with one input, and which input that was."""

    key: str
    topic: str
    partition: int
    offset: int
    n: int
    count: int
    total: int

"""The way out of a batch in which a record is refused that stops its shard."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.sinks.base import Refusal


class StoppedError(Exception):
    """Ends a batch early; never leaves the sink, which returns the refusals.

    Attributes:
        refusals: what is known of by then.
    """

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = refusals
        super().__init__("refused")

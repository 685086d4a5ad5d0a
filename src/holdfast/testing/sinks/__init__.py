"""Tests that a sink has to pass, whatever it writes to: for sinks of one's own, and for Holdfast's.

Derive a test class from those that say what the sink does, and tell it three things::

    class TestSearchIndex(WithRefusals, WithOutages):
        def sink(self): ...                 # a new sink, on the same system as the others of this test
        def value(self, key, payload): ...  # what a handler returns
        def held(self, key): ...            # what the system holds

pytest runs it as any other class; its fixtures can be used in it.
"""

from __future__ import annotations

from holdfast.testing.sinks.conformance import SinkConformance
from holdfast.testing.sinks.outages import WithHangs, WithOutages
from holdfast.testing.sinks.positions import WithPositions
from holdfast.testing.sinks.refusals import WithRefusals

__all__ = ["SinkConformance", "WithHangs", "WithOutages", "WithPositions", "WithRefusals"]

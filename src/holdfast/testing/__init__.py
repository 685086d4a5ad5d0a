"""For tests of applications, and of Holdfast itself: a topology in memory."""

from __future__ import annotations

from holdfast.testing.memory_store import MemoryStore
from holdfast.testing.message import MemoryMessage
from holdfast.testing.topology_test import TopologyTest

__all__ = ["MemoryMessage", "MemoryStore", "TopologyTest"]

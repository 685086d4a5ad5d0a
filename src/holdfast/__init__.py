"""Holdfast: event-driven services on Apache Kafka that keep their data right under failure."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]

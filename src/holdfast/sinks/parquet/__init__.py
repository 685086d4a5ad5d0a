"""Parquet files: what handlers return for them. Needs no client library."""

from holdfast.sinks.parquet.rows import Row

__all__ = ["Row"]

"""PostgreSQL as a sink: what handlers return for it. Importing this needs no client."""

from holdfast.sinks.postgres.writes import Delete, Execute, Insert, PostgresWrite, Row, Upsert

__all__ = ["Delete", "Execute", "Insert", "PostgresWrite", "Row", "Upsert"]

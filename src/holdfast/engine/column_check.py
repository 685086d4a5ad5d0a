"""Columns that a Parquet sink names and the events that it gets do not have, or the other way round.

Each such record would become a dead letter. Only what is known before anything runs is told: of rows that are
mappings, and of events whose class may write other fields than its own, nobody knows the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.declaration.source import Problem, did_you_mean
from holdfast.schema import Event
from holdfast.topology.sink_decls import ParquetSinkDecl


def column_problems(handler: str, kinds: Iterable[type], sink: ParquetSinkDecl) -> Iterator[Problem]:
    """Say which columns do not fit.

    Args:
        handler: its name, for messages.
        kinds: the classes that it returns.
        sink: what they go to.
    """
    for kind in kinds:
        if not issubclass(kind, Event) or (fields := _fields(kind)) is None:
            continue
        told = f"of {kind.__name__}, which {handler} returns,"
        for index, column in enumerate(sink.partition_by):
            if column not in fields:
                text = (
                    f'no field {told} is called "{column}"{did_you_mean(column, fields)} (fields: '
                    f"{', '.join(fields)}); each of its records would become a dead letter"
                )
                yield Problem(("sinks", sink.name, "partition_by", index), text)
        if sink.columns is None:
            continue
        for field in fields:
            if field not in sink.columns and field not in sink.partition_by:
                text = (
                    f'the field "{field}" {told} has no column{did_you_mean(field, sink.columns)} (columns: '
                    f"{', '.join(sink.columns)}); each of its records would become a dead letter"
                )
                yield Problem(("sinks", sink.name, "schema"), text)


def _fields(kind: type[Event]) -> list[str] | None:
    """The names that the fields of a class have where they are written; None if others may be."""
    is_open = kind.model_config.get("extra") == "allow" or kind.__pydantic_decorators__.model_serializers
    if is_open or kind.__subclasses__():
        return None
    fields = [
        field.serialization_alias or field.alias or name
        for name, field in kind.model_fields.items()
        if not field.exclude
    ]
    return fields + [field.alias or name for name, field in kind.model_computed_fields.items()]

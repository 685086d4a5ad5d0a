"""From a declared sink to the sink itself. Clients of downstream systems are imported only here."""

from __future__ import annotations

from holdfast.errors import HoldfastError, SinkError
from holdfast.sinks.base import Sink
from holdfast.topology.resolved import ResolvedSink
from holdfast.topology.sink_decls import CustomSinkDecl, PostgresSinkDecl


def build_sink(resolved: ResolvedSink) -> Sink:
    """Make a sink, which connects when it is used first.

    Raises:
        SinkError: its client is not installed, or the application's own class cannot be made.
    """
    decl = resolved.decl
    if isinstance(decl, PostgresSinkDecl):
        try:
            from holdfast.sinks.postgres.sink import PostgresSink
        except ImportError as error:
            raise SinkError(
                f"sink {decl.name!r} needs psycopg ({error}); install it with: "
                "pip install 'holdfast[postgres]'"
            ) from None
        return PostgresSink(decl.name, decl.dsn, decl.positions, decl.timeout_ms / 1000)
    return _custom(resolved, decl)


def _custom(resolved: ResolvedSink, decl: CustomSinkDecl) -> Sink:
    assert resolved.factory is not None
    try:
        sink = resolved.factory(**decl.options)
    except HoldfastError:
        raise
    except Exception as error:
        raise SinkError(
            f"sink {decl.name!r}: {decl.sink} cannot be made with the `options` of topology.yaml: {error!r}"
        ) from error
    if not isinstance(sink, Sink):
        raise SinkError(f"sink {decl.name!r}: {decl.sink} makes no holdfast.sinks.base.Sink but {sink!r}")
    return sink

"""From a declared sink to the sink itself. Clients of downstream systems are imported only here."""

from __future__ import annotations

import os
import re

from holdfast.errors import HoldfastError, SinkError
from holdfast.sinks.base import Sink
from holdfast.topology.resolved import ResolvedSink
from holdfast.topology.sink_decls import CustomSinkDecl, HttpSinkDecl, PostgresSinkDecl

_VARIABLE = re.compile(r"\$\{(\w+)\}")


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
    return _http(decl) if isinstance(decl, HttpSinkDecl) else _custom(resolved, decl)


def _http(decl: HttpSinkDecl) -> Sink:
    try:
        from holdfast.sinks.http.service import HttpSettings
        from holdfast.sinks.http.sink import HttpSink
    except ImportError as error:
        raise SinkError(
            f"sink {decl.name!r} needs aiohttp ({error}); install it with: pip install 'holdfast[http]'"
        ) from None
    seconds = decl.timeout_ms / 1000
    settings = HttpSettings(
        decl.name,
        decl.url,
        {name: _expanded(decl, name, value) for name, value in decl.headers.items()},
        call_s=decl.call_timeout_ms / 1000,
        attempts=decl.attempts,
        within_s=seconds / 2,
        concurrent=decl.concurrent,
        down=decl.down,
        breaker=decl.breaker.settings(),
    )
    # With the last call and its attempts a batch takes no longer than twice its time.
    return HttpSink(settings, batch_s=seconds / 2)


def _expanded(decl: HttpSinkDecl, header: str, value: str) -> str:
    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise SinkError(
                f"sink {decl.name!r}: its header {header} needs the environment variable {match[1]}, which "
                "is not set for this worker"
            )
        return found

    return _VARIABLE.sub(variable, value)


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

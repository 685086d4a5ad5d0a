"""From a declared sink to the sink itself. Clients of downstream systems are imported only here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from holdfast.errors import HoldfastError, SinkError
from holdfast.extras import with_extra
from holdfast.sinks.base import Downstream, Sink
from holdfast.sinks.variables import expanded, expanded_dsn, expanded_url, missing, variables_in
from holdfast.topology.resolved import ResolvedSink
from holdfast.topology.sink_decls import (
    CustomSinkDecl,
    HttpSinkDecl,
    KafkaSinkDecl,
    ParquetSinkDecl,
    PostgresSinkDecl,
    RedisSinkDecl,
)

if TYPE_CHECKING:
    from holdfast.sinks.http.service import HttpSettings

T = TypeVar("T", Downstream, Sink)

_Client = PostgresSinkDecl | RedisSinkDecl | ParquetSinkDecl | HttpSinkDecl
"""Declarations of systems that have a client of their own to be installed."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header may have in it."""


def build_sink(resolved: ResolvedSink) -> Sink:
    """Make a sink, which connects when it is used first.

    Raises:
        SinkError: its client is not installed, a variable or its address cannot be used, or the application's
            own class cannot be made.
    """
    with _located(resolved):
        _require_variables(resolved)
        return _sink(resolved)


def build_downstream(resolved: ResolvedSink) -> Downstream:
    """Make a system that handlers ask; it connects when it is used first.

    Raises:
        SinkError: its client is not installed, a variable or its address cannot be used, or the application's
            own class cannot be made.
    """
    decl = resolved.decl
    with _located(resolved):
        _require_variables(resolved)
        if isinstance(decl, HttpSinkDecl):
            settings = _http_settings(decl)
            from holdfast.sinks.http.service import HttpService

            return HttpService(settings)
        assert isinstance(decl, CustomSinkDecl), "nothing else can be asked"
        return _made(resolved, decl, Downstream)  # type: ignore[type-abstract]


@contextmanager
def _located(resolved: ResolvedSink) -> Iterator[None]:
    """Say with an error inside of it where the sink is declared."""
    try:
        yield
    except SinkError as error:
        sink = f"sink {resolved.decl.name!r}"
        text = str(error)
        # What else a class of the application's own raises has its own words, and perhaps more to it.
        if type(error) is not SinkError or not text.startswith(sink):
            raise
        raise SinkError(f"{sink} ({resolved.origin}){text.removeprefix(sink)}") from error.__cause__


def _sink(resolved: ResolvedSink) -> Sink:
    decl = resolved.decl
    if isinstance(decl, PostgresSinkDecl):
        with _needing("psycopg", decl):
            from holdfast.sinks.postgres.sink import PostgresSink
        return PostgresSink(decl.name, expanded_dsn(decl.dsn), decl.positions, decl.timeout_ms / 1000)
    if isinstance(decl, RedisSinkDecl):
        return _redis(decl)
    if isinstance(decl, ParquetSinkDecl):
        return _parquet(decl)
    if isinstance(decl, KafkaSinkDecl):
        return _kafka(decl)
    return _http(decl) if isinstance(decl, HttpSinkDecl) else _made(resolved, decl, Sink)  # type: ignore[type-abstract]


@contextmanager
def _needing(client: str, decl: _Client) -> Iterator[None]:
    """Import a sink's client inside of it; the extra that has it is called like the sink's type."""
    try:
        yield
    except ImportError as error:
        raise SinkError(f"sink {decl.name!r} needs {client} ({error}): {with_extra(decl.type)}") from None


def _redis(decl: RedisSinkDecl) -> Sink:
    with _needing("redis", decl):
        from holdfast.sinks.redis.connection import Address
        from holdfast.sinks.redis.sink import RedisSink

    def secret(key: str) -> str | None:
        value = getattr(decl, key)
        return None if value is None else expanded(value)

    address = Address(
        expanded_url(decl.url or ""),
        decl.sentinels or (),
        decl.master or "",
        decl.username,
        secret("password"),
        decl.database or 0,
        secret("sentinel_password"),
    )
    return RedisSink(decl.name, address, decl.positions, decl.timeout_ms / 1000, decl.copies)


def _parquet(decl: ParquetSinkDecl) -> Sink:
    with _needing("pyarrow", decl):
        from holdfast.sinks.parquet.shaping import ParquetSettings
        from holdfast.sinks.parquet.sink import ParquetSink
    settings = ParquetSettings(
        decl.name, Path(decl.path), decl.partition_by, decl.columns, compression=decl.compression
    )
    return ParquetSink(settings)


def _kafka(decl: KafkaSinkDecl) -> Sink:
    from holdfast.sinks.kafka.sink import KafkaSettings, KafkaSink

    properties = {name: expanded(value) for name, value in decl.kafka.items()}
    servers = expanded(decl.bootstrap_servers)
    return KafkaSink(
        KafkaSettings(decl.name, servers, properties, decl.positions, timeout=decl.timeout_ms / 1000)
    )


def _http(decl: HttpSinkDecl) -> Sink:
    settings = _http_settings(decl)
    from holdfast.sinks.http.sink import HttpSink

    # With the last call and its attempts a batch takes no longer than twice its time.
    return HttpSink(settings, batch_s=decl.timeout_ms / 2_000)


def _http_settings(decl: HttpSinkDecl) -> HttpSettings:
    with _needing("aiohttp", decl):
        from holdfast.sinks.http.service import HttpSettings
    return HttpSettings(
        decl.name,
        decl.url,
        {name: _header(decl.name, name, value) for name, value in decl.headers.items()},
        call_s=decl.call_ms / 1000,
        attempts=decl.attempts,
        within_s=decl.timeout_ms / 2_000,
        concurrent=decl.concurrent,
        rate=decl.rate,
        line_s=decl.timeout_ms / 1_000,
        down=decl.down,
        breaker=decl.breaker.settings(),
    )


def _header(sink: str, name: str, value: str) -> str:
    """A header as it is sent.

    Raises:
        SinkError: no call could be made with it, whatever its record; secrets from files often end in a
            newline.
    """
    header = expanded(value)
    if _CONTROL.search(header):
        guilty = (each for each in variables_in(value) if _CONTROL.search(os.environ[each]))
        found = next(guilty, None)
        source = f", from the environment variable {found}" if found is not None else ""
        raise SinkError(
            f"sink {sink!r}: its header {name} has a control character in it{source} (the end of a line?), "
            "and no call can be made with that"
        )
    return header


def _require_variables(resolved: ResolvedSink) -> None:
    """Make sure that the sink's variables have values.

    Raises:
        SinkError: one has none.
    """
    for text, variable, is_set in missing(resolved.decl):
        state = "is set, but empty" if is_set else "is not set for this worker"
        raise SinkError(
            f"sink {resolved.decl.name!r}: {text.name} needs the environment variable {variable}, "
            f"which {state}"
        )


def _made(resolved: ResolvedSink, decl: CustomSinkDecl, kind: type[T]) -> T:
    # mypy takes `type[T]` for a class that is going to be made; it is only looked at.
    assert resolved.factory is not None
    try:
        made = resolved.factory(**decl.options)
    except HoldfastError:
        raise
    except Exception as error:
        raise SinkError(
            f"sink {decl.name!r}: {decl.sink} cannot be made with its `options`: {error!r}"
        ) from error
    if not isinstance(made, kind):
        wanted = f"holdfast.sinks.base.{kind.__name__}"
        raise SinkError(f"sink {decl.name!r}: {decl.sink} makes no {wanted} but {made!r}")
    return made

"""What is wrong with the declaration of a sink that only its client knows, or the environment."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.sinks.variables import expanded_dsn, missing
from holdfast.topology.sink_decls import PostgresSinkDecl, SinkDecl
from holdfast.topology.source import Location


def check_sink(decl: SinkDecl) -> Iterator[tuple[Location, str]]:
    """Say what can never work, without a connection; see `holdfast.topology.SinkCheck`.

    A variable without a value says nothing: where the file is checked need not be where it is used. An
    address of PostgreSQL is looked at where its client can be imported, which needs libpq.
    """
    if not isinstance(decl, PostgresSinkDecl) or any(missing(decl)):
        return
    try:
        from holdfast.sinks.postgres.dsn import dsn_problems
    except ImportError:
        return
    for problem in dsn_problems(expanded_dsn(decl.dsn)):
        yield ("dsn",), problem


def check_sink_here(decl: SinkDecl) -> Iterator[tuple[Location, str]]:
    """Like `check_sink`, for a sink that workers with this environment are going to use.

    One that is not set is left to the worker, which says what it is needed for.
    """
    for text, variable, is_set in missing(decl):
        if is_set:
            yield text.at, f"the environment variable {variable} is set, but empty; give it a value"
    yield from check_sink(decl)

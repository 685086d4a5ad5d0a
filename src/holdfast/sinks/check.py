"""What is wrong with the declaration of a sink that only its client knows, or the environment."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from holdfast.sinks.variables import expanded_dsn, missing
from holdfast.topology.sink_decls import PostgresSinkDecl, SinkDecl
from holdfast.topology.source import Location


def check_sink(decl: SinkDecl) -> Iterator[tuple[Location, str]]:
    """Say what can never work, without a connection; see `holdfast.topology.SinkCheck`.

    A variable that is not set says nothing: where the file is checked need not be where it is used. An
    address of PostgreSQL is looked at where its client is installed.
    """
    lacking = list(missing(decl))
    for text, variable, is_set in lacking:
        if is_set:
            yield text.at, f"the environment variable {variable} is set, but empty; give it a value"
    if isinstance(decl, PostgresSinkDecl) and not lacking and find_spec("psycopg") is not None:
        from holdfast.sinks.postgres.dsn import dsn_problems

        for problem in dsn_problems(expanded_dsn(decl.dsn)):
            yield ("dsn",), problem

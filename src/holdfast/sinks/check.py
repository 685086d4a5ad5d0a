"""What is wrong with the declaration of a sink that only its client knows, or the environment."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.declaration.source import Location
from holdfast.errors import SettingError
from holdfast.kafka.known_names import unknown_names
from holdfast.kafka.settings import checked
from holdfast.sinks.variables import expanded, expanded_dsn, misnamed, missing
from holdfast.topology.sink_decls import KafkaSinkDecl, PostgresSinkDecl, SinkDecl

_MISNAMED = (
    "a `${...}` in it is no variable: its name has letters, digits and `_` only, and there is no notation "
    "for a default. Text that has such braces in it can be the value of a variable"
)


def check_sink(decl: SinkDecl) -> Iterator[tuple[Location, str]]:
    """Say what can never work, without a connection; see `holdfast.topology.SinkCheck`.

    A variable without a value says nothing: where the file is checked need not be where it is used. An
    address of PostgreSQL is looked at where its client can be imported, which needs libpq.
    """
    for text in misnamed(decl):
        yield text.at, _MISNAMED
    if isinstance(decl, PostgresSinkDecl):
        yield from _dsn(decl)
    if isinstance(decl, KafkaSinkDecl):
        yield from _properties(decl)


def _dsn(decl: PostgresSinkDecl) -> Iterator[tuple[Location, str]]:
    if any(missing(decl)):
        return
    try:
        from holdfast.sinks.postgres.dsn import dsn_problems
    except ImportError:
        return
    for problem in dsn_problems(expanded_dsn(decl.dsn)):
        yield ("dsn",), problem


def _properties(decl: KafkaSinkDecl) -> Iterator[tuple[Location, str]]:
    unset = {text.at for text, _, _ in missing(decl)}
    for name, value in decl.kafka.items():
        if ("kafka", name) not in unset:
            try:
                checked({name: expanded(value)})
            except SettingError as error:
                yield ("kafka", name), str(error)
    for name in unknown_names(decl.kafka):
        yield ("kafka", name), "librdkafka knows no property of this name; correct or remove it"


def check_sink_here(decl: SinkDecl) -> Iterator[tuple[Location, str]]:
    """Like `check_sink`, for a sink that workers with this environment are going to use.

    One that is not set is left to the worker, which says what it is needed for.
    """
    for text, variable, is_set in missing(decl):
        if is_set:
            yield text.at, f"the environment variable {variable} is set, but empty; give it a value"
    yield from check_sink(decl)

"""Environment variables in what topology.yaml says of a sink: `${NAME}`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import quote

from holdfast.declaration.source import Location
from holdfast.topology.sink_decls import (
    HttpSinkDecl,
    KafkaSinkDecl,
    PostgresSinkDecl,
    RedisSinkDecl,
    SinkDecl,
)

_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")

_IN_BRACES: Final = re.compile(r"\$\{([^{}]*)\}")

_SHELL: Final = ("kafka", "sasl.kerberos.kinit.cmd")
"""Is a command of the shell, which has such a notation of its own."""

_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class SinkText(NamedTuple):
    """A text of a sink's declaration that may have variables in it.

    Attributes:
        at: where it is, below the sink.
        name: what it is, for messages.
        value: as it is declared.
    """

    at: Location
    name: str
    value: str


class Missing(NamedTuple):
    """A variable that has no value.

    Attributes:
        text: where it is needed.
        variable: its name.
        is_set: whether it is there, though empty.
    """

    text: SinkText
    variable: str
    is_set: bool


def texts_of(decl: SinkDecl) -> Iterator[SinkText]:
    """All texts of a sink in which variables are replaced."""
    if isinstance(decl, HttpSinkDecl):
        for name, value in decl.headers.items():
            yield SinkText(("headers", name), f"its header {name}", value)
    if isinstance(decl, PostgresSinkDecl):
        yield SinkText(("dsn",), "its `dsn`", decl.dsn)
    if isinstance(decl, RedisSinkDecl):
        for key in ("url", "password", "sentinel_password"):
            if (value := getattr(decl, key)) is not None:
                yield SinkText((key,), f"its `{key}`", value)
    if isinstance(decl, KafkaSinkDecl):
        yield SinkText(("bootstrap_servers",), "its `bootstrap_servers`", decl.bootstrap_servers)
        for name, value in decl.kafka.items():
            yield SinkText(("kafka", name), f"its `kafka` property {name}", value)


def missing(decl: SinkDecl) -> Iterator[Missing]:
    """The variables of a sink that have no value here; blanks alone are none."""
    for text in texts_of(decl):
        for variable in dict.fromkeys(variables_in(text.value)):
            found = os.environ.get(variable)
            if found is None or not found.strip():
                yield Missing(text, variable, found is not None)


def misnamed(decl: SinkDecl) -> Iterator[SinkText]:
    """The texts of a sink with a `${...}` that is taken as it stands, as it names no variable."""
    for text in texts_of(decl):
        names = _IN_BRACES.findall(text.value)
        if text.at != _SHELL and not all(re.fullmatch(r"\w+", name) for name in names):
            yield text


def variables_in(value: str) -> list[str]:
    """The names of the variables in a text."""
    return _VARIABLE.findall(value)


def expanded(value: str, escape: Callable[[str], str] = str) -> str:
    """A text with the values of its variables, all of which are set.

    Args:
        value: the text.
        escape: makes a value fit into the text.
    """
    return _VARIABLE.sub(lambda match: escape(os.environ[match[1]]), value)


def expanded_url(url: str) -> str:
    """A URL of Redis with its variables; those that say who we are may have any characters."""
    who, at, where = url.rpartition("@")
    return expanded(who, _in_url) + at + expanded(where)


def expanded_dsn(dsn: str) -> str:
    """An address of PostgreSQL with its variables.

    One that is the whole of it is taken as it is. Others are values, and may have any characters: but for
    those of a URI's host, port and path.
    """
    if _VARIABLE.fullmatch(dsn):
        return expanded(dsn).strip()
    if not re.match("postgres(ql)?://", dsn):
        return expanded(dsn, _in_pairs)
    place, question, options = dsn.partition("?")
    who, at, where = place.rpartition("@")
    return expanded(who, _in_uri) + at + expanded(where) + question + expanded(options, _in_uri)


def _in_uri(value: str) -> str:
    """A value as a part of a URI of PostgreSQL: any `%` is one of its own.

    What may stand between a name and its password stays as it is, and the last end of a line is none of it.
    """
    return quote(value.rstrip("\r\n"), safe=":", errors="surrogateescape")


def _in_url(value: str) -> str:
    """A name or password as a part of a URL of Redis.

    What is escaped already stays as it is (%2F), and so does what may stand between a name and its password.
    The last end of a line is none of a password, but of the file that it was read from.
    """
    value = _LONE_PERCENT.sub("%25", value.rstrip("\r\n"))
    return quote(value, safe="%:", errors="surrogateescape")


def _in_pairs(value: str) -> str:
    """A value among libpq's pairs, within quotes or without."""
    return re.sub(r"([\\'\s])", r"\\\1", value.rstrip("\r\n"))

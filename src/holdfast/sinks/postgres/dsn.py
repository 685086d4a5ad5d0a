"""What is wrong with an address of PostgreSQL, found without a connection.

libpq's own words quote what they cannot read, which may be a piece of a password: of an address that libpq
cannot read only names of options are told, and never what may be a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holdfast.declaration.source import did_you_mean

_URI: Final = re.compile(r"postgres(ql)?://")
_OTHER_URI: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_UNKNOWN: Final = re.compile(r'invalid (?:connection option|URI query parameter:) "(.*)"', re.DOTALL)
_OPTION: Final = re.compile(r"(\w+)\s*=")
_WRONG_VALUE: Final = re.compile(r'invalid (\w+) value: "(.*)"')
_NUMBERS: Final = ("keepalives", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_WHERE: Final = ("host", "hostaddr", "port", "service", "password", "passfile")
_NOWHERE: Final = {"host": "/", "hostaddr": ""}
"""A folder without a server's socket: libpq judges all options, and no network is used. An address would be
taken before the folder, and PGHOSTADDR is one where none is given."""

_FORM: Final = "write a URI (postgresql://user@host/db) or pairs (host=... dbname=...)"


def dsn_problems(dsn: str) -> Iterator[str]:
    """Say what is wrong with an address, each as what could follow its name.

    Args:
        dsn: libpq's connection string or URI.
    """
    try:
        options = conninfo_to_dict(dsn)
    except psycopg.Error as error:
        yield _unreadable(dsn, str(error).strip())
        return
    except UnicodeError:
        yield "something in it is no UTF-8; in a URI `%ff` is a byte, and a `%` itself is written %25"
        return
    yield from _ports(options, is_uri=_URI.match(dsn) is not None)
    for name in _NUMBERS:
        if name in options and not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", str(options[name])):
            yield f"`{name}` is no whole number: {str(options[name])!r}"
    yield from _values(options)


def _unreadable(dsn: str, said: str) -> str:
    """Why libpq cannot read it."""
    known = [option.keyword.decode() for option in pq.Conninfo.get_defaults()]
    if found := _UNKNOWN.fullmatch(said):
        return _unknown(dsn, found[1], known)
    if _URI.match(dsn):
        if "percent-encoded" in said:
            return "in a URI a `%` is written %25, and two hexadecimal digits follow any other"
        if "query parameter" in said:
            return "what follows the `?` of a URI are options, such as ?sslmode=require&connect_timeout=5"
        return "it is no URI that libpq reads, such as postgresql://user@host:5432/db (IPv6 in [ ])"
    if (other := _OTHER_URI.match(dsn)) is not None:
        return f"a URI of PostgreSQL begins with postgresql://, and not with {other[1]}://; {_FORM}"
    before = next((name for name in reversed(_OPTION.findall(dsn)) if name in known), None)
    if before is None:
        return f"it has no option with a value; {_FORM}"
    if "unterminated quoted string" in said:
        return f"the quote that `{before}` begins with has no end"
    return f"what stands after `{before}` has no `=`; write a value with blanks in quotes: {before}='...'"


def _unknown(dsn: str, name: str, known: list[str]) -> str:
    near = did_you_mean(name, known)
    at = dsn.rfind(name)
    # It may be a piece of a password that was not quoted, or escaped.
    is_secret = "@" in dsn[at:] if _URI.match(dsn) else "password" in dsn[:at]
    if near or not is_secret:
        return f'there is no option "{name}"{near}'
    if _URI.match(dsn):
        return "what follows its `?` is no option; in a name or password a `?` is written %3F, a `@` %40"
    return "what stands after `password` is no option; write one with blanks in quotes: password='...'"


def _ports(options: Mapping[str, Any], *, is_uri: bool) -> Iterator[str]:
    """Say which ports no server can have: libpq tells of them only when it connects, as of an outage."""
    ports = str(options.get("port", "")).split(",")
    where = _servers(options)
    servers = str(options.get(where, "")).count(",") + 1
    if where and len(ports) > 1 and len(ports) != servers:
        yield f"`port` has {len(ports)} values for {servers} of `{where}`"
    for port in ports:
        if not port or (re.fullmatch(r"\s*\+?\d{1,9}\s*", port) and 1 <= int(port) <= 65_535):
            continue
        if is_uri and "@" in f"{options.get('host')}{options.get('dbname')}":
            # postgresql://user:pass/word@host/db
            yield (
                "`port` is no number from 1 to 65535; in a name or password of a URI a `/` is written %2F, a "
                "`:` %3A, a `@` %40"
            )
        else:
            yield f"`port` is a number from 1 to 65535, not {port!r}"


def _servers(options: Mapping[str, Any]) -> str:
    """The option by which libpq counts the servers; empty where that is no option of the address itself."""
    if "service" in options or os.environ.get("PGSERVICE"):
        return ""
    if options.get("hostaddr"):
        return "hostaddr"
    return "host" if "host" in options and not os.environ.get("PGHOSTADDR") else ""


def _values(options: Mapping[str, Any]) -> Iterator[str]:
    """Say which option has a value that libpq does not know; it judges them before it looks for a server."""
    rest = {name: value for name, value in options.items() if name not in _WHERE}
    # With a password and a user of its own it looks for neither.
    rest = {"user": "nobody", **rest, "password": "none", **_NOWHERE}
    connection = pq.PGconn.connect_start(make_conninfo(**rest).encode())
    said = connection.error_message.decode(errors="replace").strip()
    connection.finish()
    found = _WRONG_VALUE.fullmatch(said)
    # Else it may be a variable of this machine, such as PGSSLMODE.
    if found and found[1] in options:
        yield f"`{found[1]}` cannot be {found[2]!r}"

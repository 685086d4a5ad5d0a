"""Where a PostgreSQL is, as libpq sees it, and how its address is led elsewhere.

libpq tells the name of a server from the address that is dialled: `host` is what a certificate is checked
against (`sslmode=verify-full`) and what a password is looked up under, `hostaddr` is what is connected to
(PostgreSQL 17, 32.1.2). So TLS goes through a gate from end to end. What stands later in an address wins, in
a URI as among pairs, so that the rest of it need not be understood.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import NamedTuple
from urllib.parse import quote

from psycopg import pq

from holdfast.chaos.gates.manners import Upstream
from holdfast.errors import ChaosError
from holdfast.local.ports import HOST
from holdfast.sinks.variables import expanded_dsn
from holdfast.topology.sink_decls import PostgresSinkDecl

_URI = re.compile(r"postgres(ql)?://")
_ONE_VARIABLE = re.compile(r"\$\{\w+\}")
_PORT = "5432"
_NEVER = {"sslmode": "never"}
"""No value that libpq knows; it looks at it after all names and addresses, and before it connects."""


class _Server(NamedTuple):
    """One of the servers that an address names."""

    name: str
    address: str
    port: int

    @property
    def is_socket(self) -> bool:
        """Whether it is a socket of this machine's file system, or an abstract one."""
        return self.address.startswith(("/", "@"))


def servers_of(decl: PostgresSinkDecl) -> list[Upstream]:
    """Where the servers of a sink are.

    Raises:
        ChaosError: nobody can tell from its address.
    """
    return [
        Upstream(
            f"{server.address}/.s.PGSQL.{server.port}" if server.is_socket else server.address, server.port
        )
        for server in _servers(decl)
    ]


def dsn_behind(decl: PostgresSinkDecl, ports: Sequence[int], variable: str) -> tuple[str, Mapping[str, str]]:
    """The address of a sink whose servers are behind a gate's ports.

    Args:
        decl: the sink.
        ports: one for each of `servers_of`.
        variable: what can hold an address that is one variable as a whole.

    Returns:
        The address, and the variables that it needs beside those that it had.
    """
    servers = _servers(decl)
    options = {
        "host": ",".join("localhost" if server.is_socket else server.name for server in servers),
        "hostaddr": ",".join(HOST for _ in servers),
        "port": ",".join(map(str, ports)),
    }
    if all(server.is_socket for server in servers):
        # Where libpq itself dials a socket it asks for no TLS, whatever the address says.
        options["sslmode"] = "disable"
    if not _ONE_VARIABLE.fullmatch(decl.dsn):
        return _with(decl.dsn, options), {}
    return f"${{{variable}}}", {variable: _with(expanded_dsn(decl.dsn), options)}


def _with(dsn: str, options: Mapping[str, str]) -> str:
    """An address with more options, which win over those that it has."""
    if _URI.match(dsn):
        more = "&".join(f"{name}={quote(value, safe=',')}" for name, value in options.items())
        return f"{dsn}{'&' if '?' in dsn else '?'}{more}"
    return " ".join((dsn, *(f"{name}='{_escaped(value)}'" for name, value in options.items())))


def _escaped(value: str) -> str:
    return re.sub(r"([\\'])", r"\\\1", value)


def _servers(decl: PostgresSinkDecl) -> list[_Server]:
    # Only libpq knows what its variables (PGHOST, PGSERVICE, ...) and files add. It says so of a connection,
    # and does not connect where an option is wrong.
    connection = pq.PGconn.connect_start(_with(expanded_dsn(decl.dsn), _NEVER).encode())
    try:
        found = {each.keyword.decode(): (each.val or b"").decode() for each in connection.info}
        names, addresses = _list(found.get("host")), _list(found.get("hostaddr"))
        default = connection.host.decode()
    finally:
        connection.finish()
    count = max(len(names), len(addresses), 1)
    ports = list(islice(cycle(_list(found.get("port")) or [_PORT]), count))
    names, addresses = names or addresses or [default], addresses or names or [default]
    if not all(addresses):
        raise ChaosError(
            f"sink {decl.name!r} cannot be put behind a gate: its `dsn` does not say where its server is"
        )
    return [
        _Server(name or address, address, int(port or _PORT))
        for name, address, port in zip(names, addresses, ports, strict=True)
    ]


def _list(value: str | None) -> list[str]:
    return value.split(",") if value else []

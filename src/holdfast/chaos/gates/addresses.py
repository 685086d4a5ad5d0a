"""Where the system of a sink is, and what its declaration has to say so that it leads to a gate instead.

Only the address changes: user, password, database, path, headers and options stay, and so do variables
(`${NAME}`), whose values are not written anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from holdfast.chaos.experiment.sink_check import require_gate
from holdfast.chaos.gates.manners import Door, Speech, Upstream
from holdfast.errors import ChaosError
from holdfast.local.ports import HOST
from holdfast.sinks.http.proxies import proxy_of, without_proxy
from holdfast.sinks.variables import expanded_url, missing
from holdfast.topology.sink_decls import HttpSinkDecl, PostgresSinkDecl, RedisSinkDecl, SinkDecl

_REDIS_PORT, _SENTINEL_PORT = 6379, 26379


@dataclass(frozen=True)
class Behind:
    """What leads to a gate.

    Attributes:
        keys: of the sink's declaration that change, as fields of its model and as a file says them.
        environment: variables that workers need for them; they may hold passwords.
    """

    keys: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def doors_of(decl: SinkDecl) -> tuple[Door, ...]:
    """The doors that a gate before a sink has.

    Raises:
        ChaosError: there is no gate before such a sink, or nobody knows where its system is.
    """
    require_gate(decl.name, decl.type)
    for text, variable, _ in missing(decl):
        raise ChaosError(
            f"sink {decl.name!r} cannot be put behind a gate: {text.name} needs the environment variable "
            f"{variable}, which has no value here"
        )
    if isinstance(decl, PostgresSinkDecl):
        from holdfast.chaos.gates.postgres import servers_of  # needs psycopg, which not everybody has

        return tuple(Door(server) for server in servers_of(decl))
    if isinstance(decl, HttpSinkDecl):
        return (_door_of_service(decl),)
    assert isinstance(decl, RedisSinkDecl), "nothing else can be put behind a gate"
    if decl.url is not None:
        return (
            Door(
                _upstream(expanded_url(decl.url), "rediss", dict.fromkeys(("redis", "rediss"), _REDIS_PORT))
            ),
        )
    sentinels = (urlsplit(f"//{pair}") for pair in decl.sentinels or ())
    master = decl.master or ""
    return (
        Door(None, master=master),
        *(
            Door(Upstream(split.hostname or "", split.port or _SENTINEL_PORT), Speech.SENTINEL, master)
            for split in sentinels
        ),
    )


def _door_of_service(decl: HttpSinkDecl) -> Door:
    upstream = _upstream(decl.url, "https", {"http": 80, "https": 443})
    scheme = "https" if upstream.tls else "http"
    if proxy_of(scheme, upstream.host) is not None:
        raise ChaosError(
            f"sink {decl.name!r} cannot be put behind a gate: the environment's {scheme.upper()}_PROXY has "
            f"{upstream.host} called through a proxy, and a gate calls it by itself. If it can be reached "
            "without the proxy, add it to NO_PROXY"
        )
    return Door(upstream, Speech.HTTP)


def _upstream(url: str, secure: str, ports: Mapping[str, int]) -> Upstream:
    split = urlsplit(url)
    assert split.hostname is not None, "addresses are checked with the topology"
    return Upstream(split.hostname, split.port or ports[split.scheme], split.scheme == secure)


def behind(decl: SinkDecl, ports: Sequence[int]) -> Behind:
    """What a sink's declaration has to say to lead to a gate.

    Args:
        decl: the declaration.
        ports: those of the gate, one for each of `doors_of`.
    """
    if isinstance(decl, PostgresSinkDecl):
        from holdfast.chaos.gates.postgres import dsn_behind

        variable = f"HOLDFAST_GATE_{decl.name.replace('-', '_').upper()}"
        dsn, environment = dsn_behind(decl, ports, variable)
        return Behind({"dsn": dsn}, environment)
    if isinstance(decl, HttpSinkDecl):
        split = urlsplit(decl.url)
        who, at, _ = split.netloc.rpartition("@")
        url = f"http://{who}{at}{HOST}:{ports[0]}{split.path}"
        # Workers would ask a proxy for it, which has no such gate.
        return Behind({"url": url}, without_proxy(HOST))
    assert isinstance(decl, RedisSinkDecl), "nothing else can be put behind a gate"
    if decl.url is None:
        return Behind({"sentinels": [f"{HOST}:{port}" for port in ports[1:]]})
    who, at, place = decl.url.partition("://")[2].rpartition("@")
    _, slash, database = place.partition("/")
    return Behind({"url": f"redis://{who}{at}{HOST}:{ports[0]}{slash}{database}"})

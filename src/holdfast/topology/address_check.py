"""What is wrong with where a sink is said to be: addresses that fit their pattern, and lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from holdfast.declaration.source import Location, Problem
from holdfast.topology.sink_decls import HttpSinkDecl, RedisSinkDecl

_PORT = "the port behind the host is no number from 1 to 65535"


def service_problems(at: Location, sink: HttpSinkDecl) -> Iterator[Problem]:
    """What is wrong with the URL of a service."""
    place = (*at, "url")
    try:
        split = urlsplit(sink.url)
        host = split.hostname
    except ValueError:
        yield Problem(place, "its host is no address: IPv6 is written as in http://[::1]:8080")
        return
    if not host:
        yield Problem(place, "there is no host in it, as in https://gateway.internal/v1")
    elif "${" in host:
        text = "variables are replaced in `headers`, and not here; write the host out"
        yield Problem(place, text)
    elif not _has_port(split.netloc, lowest=1):
        yield Problem(place, _PORT)


def redis_problems(at: Location, sink: RedisSinkDecl) -> Iterator[Problem]:
    """What is wrong with the ports of a Redis, or of its Sentinels; a port in a variable is not known."""
    place = (sink.url or "").rpartition("//")[2].rpartition("@")[2].partition("/")[0]
    # The client takes port 0 for the usual one.
    if "$" not in place and not _has_port(place, lowest=0):
        yield Problem((*at, "url"), _PORT)
    for index, sentinel in enumerate(sink.sentinels or ()):
        if not _has_port(sentinel, lowest=0):
            yield Problem((*at, "sentinels", index), _PORT)


def _has_port(place: str, *, lowest: int) -> bool:
    """Whether a port can be used, or there is none."""
    try:
        port = urlsplit(f"//{place}").port
    except ValueError:
        return False
    return port is None or port >= lowest

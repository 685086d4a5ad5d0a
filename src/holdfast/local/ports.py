"""Free TCP ports on the loopback interface.

Ports are taken below the range from which systems draw the local port of an outgoing
connection (32768 and up on Linux, 49152 and up on macOS). Otherwise a client could be given
the port of a broker that is down for a moment, and the broker could not come back.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from holdfast.errors import EmbeddedClusterError

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the JVM does: connections of the last run in TIME_WAIT do not make the port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Tell whether a server accepts connections on `port`."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int, taken: Collection[int] = ()) -> list[int]:
    """Return `count` free ports that are not in `taken`.

    The search starts at a random place, so that clusters that start at the same time
    seldom choose the same ports.

    Raises:
        EmbeddedClusterError: there are not enough.
    """
    start = random.randrange(LOWEST, HIGHEST)
    found: list[int] = []
    for offset in range(HIGHEST - LOWEST):
        port = LOWEST + (start - LOWEST + offset) % (HIGHEST - LOWEST)
        if port not in taken and is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise EmbeddedClusterError(
        f"no {count} free ports between {LOWEST} and {HIGHEST} on {HOST}; end some servers."
    )

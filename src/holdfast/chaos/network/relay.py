"""The relay: programs outside of the lab's network talk to the brokers inside, each as a host of its own.

``python -m holdfast.chaos.network.relay JSON``, with {"namespace": path, "brokers": {id: [port, address]},
"hosts": {name: address}}, listens on those ports of loopback, moves into the namespace, and says
{"ready": true}. Who connects to a port is connected to that broker *through the lab's network*, from the
address of the host that the program stands for (`HOST_VARIABLE` in its environment; else the clients'
address). So a client on loopback meets the same losses, delays and cuts as if it were a machine beside the
brokers. It ends when its input closes.

One difference to a real network remains: connecting succeeds at once, since it is the relay that accepts, and
what is cut shows itself as silence on the first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from functools import partial
from typing import Any

from holdfast.chaos.network.hosts import BROKER_PORT, CLIENTS
from holdfast.chaos.network.namespaces import enter
from holdfast.chaos.network.owners import ConnectionOwners
from holdfast.local.ports import HOST

_CHUNK = 256 * 1024
_WAITING = 1024
"""Connections that may wait to be accepted: a restarted broker meets all its clients at once."""


class Relay:
    """Splices connections.

    Args:
        hosts: address of each host by its name.
        owners: tells for which host a program that connects stands.
    """

    def __init__(self, hosts: dict[str, str], owners: ConnectionOwners) -> None:
        self._hosts = hosts
        self._owners = owners

    async def serve(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end, whoever ends it."""
        peer: tuple[str, int] = writer.get_extra_info("peername")
        name = self._owners.host_of(peer[1]) or CLIENTS
        here = self._hosts.get(name, self._hosts[CLIENTS])
        try:
            there = await asyncio.open_connection(address, BROKER_PORT, local_addr=(here, 0), limit=_CHUNK)
        except OSError:
            # Nobody listens there: as near to "connection refused" as one that is accepted can come.
            writer.transport.abort()
            return
        await asyncio.gather(_pipe(reader, there[1]), _pipe(there[0], writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Move bytes one way; its end ends the other way, too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(_WAITING)
    return listener


async def _run(listeners: list[tuple[socket.socket, str]], relay: Relay) -> None:
    for listener, address in listeners:
        await asyncio.start_server(partial(relay.serve, address), sock=listener, limit=_CHUNK)
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    # Nothing is ever written to it: what can be read is its end.
    loop.add_reader(sys.stdin.fileno(), over.cancel)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    with contextlib.suppress(asyncio.CancelledError):
        await over
    # Connections need no good-bye, and closing each in order would take longer than their owner has.
    os._exit(0)


def main() -> None:
    """Serve until the input closes."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    try:
        listeners = [(_listen(port), address) for port, address in asked["brokers"].values()]
    except OSError as error:
        sys.stdout.write(json.dumps({"error": f"cannot listen for the brokers' clients: {error}"}) + "\n")
        return
    # Where the clients' connections are looked up: the table of this process will be that of the namespace.
    owners = ConnectionOwners(os.getppid())
    enter(os.open(asked["namespace"], os.O_RDONLY))
    asyncio.run(_run(listeners, Relay(asked["hosts"], owners)))


if __name__ == "__main__":
    main()

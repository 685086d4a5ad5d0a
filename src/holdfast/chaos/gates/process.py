"""The gates: a process with a listening port for each address of each system that stands behind one.

``python -m holdfast.chaos.gates.process JSON``, with {"gates": {sink: [door, ...]}, "seed": 7} and each door
as [upstream, speech, master], says {"ports": {sink: [port, ...]}}, and then is spoken to in lines of JSON on
its standard input and output:

    {"sink": name, "manner": {...}}     behave so from now on; answered by {"reset": how many connections}
    {"sink": name}                      answered by {"counts": {...}}

What cannot be done is answered by {"error": text}.

It ends when its input closes, and with it every connection through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from holdfast.chaos.gates.http import HttpLink
from holdfast.chaos.gates.link import Link, Traffic
from holdfast.chaos.gates.manners import Door, Kind, Manner, Speech, Upstream
from holdfast.chaos.gates.sentinel import SentinelLink
from holdfast.chaos.helpers import Lines, say
from holdfast.errors import HoldfastError
from holdfast.local.ports import HOST, free_ports

_WAITING = 1024
"""Connections that may wait to be accepted."""

_AT_ONCE = 64


class _Port:
    """A port of loopback that takes connections, or refuses them, and is ours all the time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, accepted: Any) -> None:
        self.number = port
        self._loop = loop
        self._accepted = accepted
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._share(True)
        self._socket.bind((HOST, port))
        self._socket.setblocking(False)

    def open(self) -> None:
        """Take connections.

        Raises:
            OSError: the system does not let it.
        """
        self._share(True)
        self._socket.listen(_WAITING)
        self._loop.add_reader(self._socket, self._accept)

    def shut(self) -> None:
        """Refuse connections, also those that wait to be accepted. It may do so already.

        Linux makes of a socket that listens one that is only bound, to the port that it had (`inet_shutdown`
        in net/ipv4/af_inet.c, `tcp_disconnect` in tcp.c): the system refuses for us, and nothing can be
        missing for that.
        """
        if self._loop.remove_reader(self._socket):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._share(False)

    def _share(self, is_shared: bool) -> None:
        """Whether the port may have other sockets that do not listen.

        Where it is open, connections of before are such, also those in TIME_WAIT. Where it is shut, another
        process could take the port so.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, is_shared)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setblocking(False)
            self._accepted(connection)


class Gate:
    """All doors of one sink.

    Args:
        doors: what is behind them.
        seed: decides which calls are answered wrongly.
        loop: runs everything.
    """

    def __init__(self, doors: Sequence[Door], seed: str, loop: asyncio.AbstractEventLoop) -> None:
        self.traffic = Traffic(random.Random(seed).random)
        self._loop = loop
        self._master: Upstream | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        numbers = free_ports(len(doors))
        self._ports = [
            _Port(loop, number, partial(self._accepted, door, number))
            for number, door in zip(numbers, doors, strict=True)
        ]
        self._open()

    @property
    def ports(self) -> list[int]:
        """Where it listens, one for each door."""
        return [port.number for port in self._ports]

    def become(self, manner: Manner) -> int:
        """Behave otherwise; returns how many connections were reset for it.

        Raises:
            OSError: it cannot listen; it stays as it was.
        """
        was_down = self.traffic.manner.kind is Kind.DOWN
        if manner.kind is Kind.DOWN:
            self._shut()
        elif was_down:
            self._open()
        return self.traffic.become(manner)

    def _open(self) -> None:
        try:
            for port in self._ports:
                port.open()
        except OSError:
            # All doors are open, or none.
            self._shut()
            raise

    def _shut(self) -> None:
        for port in self._ports:
            port.shut()

    def _accepted(self, door: Door, port: int, connection: socket.socket) -> None:
        task = self._loop.create_task(self._serve(door, port, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, door: Door, port: int, connection: socket.socket) -> None:
        """Connect a client to the system; it is reset if that cannot be reached."""
        link = self._link(door, port)
        # What it says is of no use before there is somebody to say it to.
        link.client.hold_back("connecting")
        await self._loop.connect_accepted_socket(lambda: link.client, connection)
        upstream = door.upstream or self._master
        try:
            if upstream is None:
                raise ConnectionError
            await self._connect(link, upstream)
        except (OSError, UnicodeError):
            # Nobody listens there, or its name can be none.
            link.reset()
            return
        if link not in self.traffic.links:
            # The client has gone, or the gate was shut, meanwhile.
            link.reset()
        link.client.go_on("connecting")

    def _link(self, door: Door, port: int) -> Link:
        if door.speech is Speech.HTTP:
            assert door.upstream is not None, "a service has an address"
            return HttpLink(self.traffic, self._loop, f"{HOST}:{port}", door.upstream.authority)
        if door.speech is Speech.SENTINEL:
            return SentinelLink(self.traffic, self._loop, door.master, self.ports[0], self._found)
        return Link(self.traffic, self._loop)

    def _found(self, master: Upstream) -> None:
        self._master = master

    async def _connect(self, link: Link, upstream: Upstream) -> None:
        if upstream.host.startswith(("/", "@")):
            path = upstream.host if upstream.host[0] == "/" else f"\0{upstream.host[1:]}"
            await self._loop.create_unix_connection(lambda: link.system, path)
            return
        secure = ssl.create_default_context() if upstream.tls else None
        await self._loop.create_connection(lambda: link.system, upstream.host, upstream.port, ssl=secure)


def _door(raw: Sequence[Any]) -> Door:
    upstream, speech, master = raw
    return Door(Upstream(*upstream) if upstream else None, Speech(speech), master)


def _answer(gates: dict[str, Gate], asked: dict[str, Any]) -> dict[str, Any]:
    try:
        gate = gates[asked["sink"]]
        if "manner" in asked:
            return {"reset": gate.become(Manner.of(asked["manner"]))}
        return {"counts": asdict(gate.traffic.counts)}
    except (OSError, LookupError, ValueError) as error:
        # Without an answer its owner would wait in vain, and then end the gates of all other sinks, too.
        return {"error": f"the gate of sink {asked['sink']!r} cannot do what it was asked: {error!r}"}


def _take(gates: dict[str, Gate], lines: Lines, over: asyncio.Future[None]) -> None:
    try:
        for asked in lines.read():
            say(_answer(gates, asked))
    except EOFError:
        over.cancel()


async def _run(settings: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    try:
        gates = {
            sink: Gate([_door(raw) for raw in doors], f"{settings['seed']} {sink}", loop)
            for sink, doors in settings["gates"].items()
        }
    except (OSError, HoldfastError) as error:
        say({"error": f"cannot listen for the clients of sinks: {error}"})
        return
    say({"ports": {sink: gate.ports for sink, gate in gates.items()}})
    over: asyncio.Future[None] = loop.create_future()
    control = sys.stdin.fileno()
    loop.add_reader(control, _take, gates, Lines(control), over)
    with contextlib.suppress(asyncio.CancelledError):
        await over
    # Connections need no good-bye, and closing each in order would take longer than their owner has.
    os._exit(0)


def main() -> None:
    """Serve until the input closes."""
    # Each connection takes two descriptors, and the usual limit is 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_run(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()

"""Topologies with sinks for gates to stand before, and a service that says what it was asked."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from holdfast.chaos.gates.gates import Gates
from holdfast.topology import Topology, load


def declared(folder: Path, **sinks: dict[str, Any]) -> Topology:
    """A topology with these sinks and nothing that uses them."""
    file = folder / "topology.yaml"
    topics = {"orders": {"event": "shop:Order", "key": "id", "partitions": 1}}
    file.write_text(yaml.safe_dump({"app": "shop", "topics": topics, "sinks": sinks}))
    return load(file)


@contextlib.contextmanager
def calling(gates: Gates) -> Iterator[HTTPConnection]:
    """A connection to the service behind a gate."""
    connection = HTTPConnection("127.0.0.1", gates.ports("gateway")[0], timeout=20)
    try:
        yield connection
    finally:
        connection.close()


class Echo(BaseHTTPRequestHandler):
    """A service that answers in chunks, or until it closes, with what it was called and got."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = f"{self.headers['Host']} {self.path} {len(body)}".encode()
        self.send_response(200)
        if self.path.endswith("until-it-closes"):
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(said)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (said[:5], said[5:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\nX-Trailer: 1\r\n\r\n")

    do_GET = do_POST  # noqa: N815 # its name

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # its name
        """Say nothing."""


@contextlib.contextmanager
def echoing(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """That service, by its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

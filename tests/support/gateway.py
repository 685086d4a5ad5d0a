"""The payment gateway: a process of its own, which tests may kill, start again and let fail; or in memory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from gateway.app import Gateway
from gateway.book import Book, Entry, read
from gateway.faults import FAULTS, Faults
from holdfast.local.ports import free_ports
from holdfast.sinks.http import HttpAnswer
from schemas.payments import PaymentRequested, PaymentReversed

ROOT = Path(__file__).parents[2]
_START_S = 30.0
_CALL_S = 10.0


class GatewayProcess:
    """The gateway.

    Args:
        journal: its file.
        limit: of what may be charged to a customer at a time.

    Attributes:
        journal: its file.
    """

    def __init__(self, journal: Path, limit: str | None = None) -> None:
        self.journal = journal
        (self.port,) = free_ports(1)
        self._limit = ["--limit", limit] if limit else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it with what it has charged before, and wait until it answers."""
        command = [sys.executable, "-m", "gateway", "--port", str(self.port), "--journal", str(self.journal)]
        self._process = subprocess.Popen([*command, *self._limit], cwd=ROOT)
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError):
                self._ask("GET", "/admin/faults")
                return
            assert self._process.poll() is None, "the gateway ended"
            assert time.monotonic() < deadline, "the gateway does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to all of its processes; what was wrong with it is forgotten."""
        assert self._process is not None
        own = psutil.Process(self._process.pid)
        processes = [own, *own.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(processes, _CALL_S)
        assert not alive, "a killed process is still there"
        self._process = None

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self.kill()

    def fail(self, *faults: dict[str, Any]) -> None:
        """From now on these go wrong; see `gateway.faults.Fault`."""
        self._ask("PUT", "/admin/faults", json.dumps(faults).encode())

    def heal(self) -> None:
        """From now on nothing does."""
        self.fail()

    def faults(self) -> Counter[str]:
        """How often each kind of fault happened in its present life."""
        return Counter(json.loads(self._ask("GET", "/admin/faults"))["happened"])

    def audit(self) -> list[Entry]:
        """All calls that came."""
        return [Entry.model_validate_json(line) for line in self._ask("GET", "/audit").splitlines()]

    def charge(self, key: str, order_id: str, customer_id: str, amount: str) -> None:
        """Charge somebody, as anybody may who knows where it is."""
        body = {"order_id": order_id, "customer_id": customer_id, "amount": amount}
        self._ask("POST", "/charges", json.dumps(body).encode(), key)

    def _ask(self, method: str, path: str, body: bytes | None = None, key: str = "") -> bytes:
        headers = {"Idempotency-Key": key} if key else {}
        request = urllib.request.Request(f"{self.url}{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=_CALL_S) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def gateway_process(journal: Path, limit: str | None = None) -> Iterator[GatewayProcess]:
    """A gateway for one test."""
    gateway = GatewayProcess(journal, limit)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


class GatewayInMemory:
    """The gateway without HTTP between: what `HttpClient` is to a handler, with one key for each payment."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._faults = Faults()
        self._app = Gateway(book, self._faults)

    def audit(self) -> list[Entry]:
        """All calls that came."""
        return list(read(self._book.journal))

    def fail(self, *faults: dict[str, Any]) -> None:
        """From now on these go wrong."""
        self._faults.present = FAULTS.validate_python(faults)

    async def post(self, path: str, *, json: PaymentRequested | PaymentReversed) -> HttpAnswer:
        """Ask it, as the handler does."""
        body, key = json.model_dump_json().encode(), f"{path}/{json.order_id}"
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        headers = [(b"Idempotency-Key", key.encode())]
        await self._app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
        head, *parts = said
        told = {name.decode(): value.decode() for name, value in head["headers"]}
        return HttpAnswer(head["status"], told, b"".join(part["body"] for part in parts))


@contextlib.contextmanager
def gateway_in_memory(folder: Path, limit: str | None = None) -> Iterator[GatewayInMemory]:
    """The gateway in memory for one test, its journal in a folder."""
    with Book(folder / "journal", Decimal(limit) if limit else None) as book:
        yield GatewayInMemory(book)

"""A real PostgreSQL server for tests, which they may kill, freeze and start again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.support.packages import install

_START_S = 30.0
_PACKAGE = "postgresql"


class PostgresServer:
    """One server with its data in a temporary folder; every database is a test's own.

    PostgreSQL refuses to run as root: there it runs as the user that its package makes.

    Args:
        fsync: whether commits wait for the disk. A killed process loses nothing that the operating system
            has: this guards against the machine's own death.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._fsync = fsync
        self._bin = _binaries()
        self._user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-postgres-"))
        self._data = self._folder / "data"
        self.port = _free_port()
        self._server: subprocess.Popen[bytes] | None = None
        if self._user:
            shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "--auth=scram-sha-256", "--username=postgres", f"--pwfile={self._password()}")

    def _password(self) -> Path:
        path = self._folder / "password"
        path.write_text("secret\n")
        path.chmod(0o644)
        return path

    def _run(self, tool: str, *arguments: str) -> None:
        command = [str(self._bin / tool), "-D", str(self._data), *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self._folder, **self._user
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        log = self._folder / "log"
        fsync = f"fsync={'on' if self._fsync else 'off'}"
        options = ["-c", fsync, "-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1"]
        deadline = time.monotonic() + _START_S
        while True:
            with log.open("ab") as output:
                self._server = subprocess.Popen(
                    [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), *options],
                    stdout=output,
                    stderr=output,
                    cwd=self._folder,
                    **self._user,
                )
            # After a kill its last processes may hold the shared memory for a moment: then it ends at once.
            while self._server.poll() is None:
                with contextlib.suppress(psycopg.OperationalError), self.connect("postgres"):
                    return
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def connect(self, database: str) -> psycopg.Connection:
        """A connection of the superuser."""
        return psycopg.connect(self.dsn(database), autocommit=True, connect_timeout=2)

    def dsn(self, database: str, *, password: str = "secret") -> str:
        """Where a database is."""
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """A database of its own, by its name."""
        name = f"t{uuid.uuid4().hex}"
        with self.connect("postgres") as admin:
            admin.execute(f"CREATE DATABASE {name}")
        yield name
        with self.connect("postgres") as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _processes(self) -> list[psutil.Process]:
        assert self._server is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._server.pid)
            return [own, *own.children(recursive=True)]
        return []

    def _signal(self, number: int) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        assert self._server is not None
        self._signal(signal.SIGKILL)
        self._server.wait()

    def freeze(self) -> None:
        """SIGSTOP to all of its processes: it takes connections, and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, and delete its data."""
        if self._server is not None and self._server.poll() is None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _binaries() -> Path:
    """The folder of the server's programs; installed first if this machine has none."""
    if (found := _find()) is not None:
        return found
    install(_PACKAGE)
    found = _find()
    assert found is not None, f"apt-get installed {_PACKAGE}, but there is no initdb"
    return found


def _find() -> Path | None:
    if path := shutil.which("initdb"):
        return Path(path).resolve().parent
    # Debian keeps them out of the path, by version.
    return next(
        (p.parent for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

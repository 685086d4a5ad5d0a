"""Real Redis servers for tests, alone and behind Sentinel, which they may kill, freeze and start again."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from holdfast.local.ports import free_ports
from tests.support.packages import install

_START_S = 30.0
_PACKAGE = "redis-server"
MASTER = "shop"


class RedisServer:
    """One server with its data in a temporary folder.

    What it has answered is in its file, and survives a kill of the process.

    Args:
        options: more of its settings, by name.
    """

    def __init__(self, **options: str) -> None:
        self.port = _free_port()
        self._program = _server_program()
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-redis-"))
        self._options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "no",
            # A replica is at work at once, instead of after 5 s in which others could join it.
            "repl-diskless-sync-delay": "0",
            # In cluster mode it would need the port 10,000 above, which the system may have given out.
            **({"cluster-port": str(_free_port())} if "cluster_enabled" in options else {}),
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        self._mode: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pair(self) -> str:
        """The same as `host:port`."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        config = self._folder / "redis.conf"
        if not config.exists():
            # A file: Sentinel writes down there what it learns, and of servers who their master is.
            config.write_text("".join(f'{name} "{value}"\n' for name, value in self._options.items()))
        log = self._folder / "log"
        deadline = time.monotonic() + _START_S
        with log.open("ab") as output:
            command = [str(self._program), str(config), *self._mode]
            self._process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self._folder)
        while True:
            with contextlib.suppress(redis.RedisError), self.client() as client:
                # One that wants a password has answered, too.
                with contextlib.suppress(redis.AuthenticationError):
                    client.ping()
                return
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)

    def client(self, **settings: Any) -> redis.Redis:
        """A client of a test's own."""
        return redis.Redis(
            port=self.port, socket_timeout=5, decode_responses=True, retry=None, protocol=2, **settings
        )

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it takes connections, and never answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def forget(self) -> None:
        """Delete its data while it does not run: it comes back empty."""
        assert not self.is_running
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)

    def close(self) -> None:
        """End it, and delete its data."""
        if self.is_running:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Watcher(RedisServer):
    """A Sentinel."""

    def __init__(self, master: RedisServer) -> None:
        super().__init__()
        self._mode = ("--sentinel",)
        self._options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder)}
        rest = [
            f"sentinel monitor {MASTER} 127.0.0.1 {master.port} 2",
            f"sentinel down-after-milliseconds {MASTER} 1000",
            f"sentinel failover-timeout {MASTER} 4000",
            f"sentinel parallel-syncs {MASTER} 2",
        ]
        text = "".join(f'{name} "{value}"\n' for name, value in self._options.items())
        (self._folder / "redis.conf").write_text(text + "\n".join(rest) + "\n")


class SentinelSetup:
    """A master, two replicas, and three Sentinels that make another one the master when it dies.

    Args:
        options: of each server.
    """

    def __init__(self, **options: str) -> None:
        self.servers = [RedisServer(**options)]
        self.servers += [
            RedisServer(**options, replicaof=f"127.0.0.1 {self.servers[0].port}") for _ in range(2)
        ]
        self.sentinels = [_Watcher(self.servers[0]) for _ in range(3)]

    @property
    def settings(self) -> dict[str, Any]:
        """The keys of a sink that leads there."""
        return {"sentinels": [each.pair for each in self.sentinels], "master": MASTER}

    def start(self) -> None:
        """Start all, and wait until they know each other."""
        for server in (*self.servers, *self.sentinels):
            server.start()
        self.wait_until_whole()

    def state(self) -> dict[str, Any]:
        """What a Sentinel knows of the master."""
        for sentinel in self.sentinels:
            with contextlib.suppress(redis.RedisError), sentinel.client() as client:
                return dict(client.sentinel_master(MASTER))
        return {}

    def master(self) -> RedisServer:
        """The server that is master, as the Sentinels say."""
        port = self.state().get("port")
        return next(server for server in self.servers if server.port == port)

    def kill_master(self) -> RedisServer:
        """SIGKILL the master, and wait until another one is; the dead one is returned."""
        dead = self.master()
        dead.kill()
        _until(lambda: self.master() is not dead and self._role(self.master()) == "master", "a new master")
        return dead

    def wait_until_whole(self) -> None:
        """Until the master has both replicas, and the Sentinels each other."""

        def is_whole() -> bool:
            state = self.state()
            if (
                state.get("num-other-sentinels") != 2
                or state.get("num-slaves") != 2
                or "down" in state["flags"]
            ):
                return False
            with contextlib.suppress(redis.RedisError), self.master().client() as client:
                told = client.info("replication")
                return [told.get(f"slave{n}", {}).get("state") for n in (0, 1)] == ["online"] * 2
            return False

        _until(is_whole, "the master has its replicas")

    def _role(self, server: RedisServer) -> str:
        with contextlib.suppress(redis.RedisError), server.client() as client:
            return str(client.info("replication")["role"])
        return ""

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A client of the present master."""
        with self.master().client() as client:
            yield client

    def close(self) -> None:
        """End all, and delete their data."""
        for server in (*self.sentinels, *self.servers):
            server.close()


def _until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for: {what}"
        time.sleep(0.05)


def _server_program() -> Path:
    """The server's program; installed first if this machine has none."""
    if (found := shutil.which("redis-server")) is not None:
        return Path(found)
    install(_PACKAGE)
    found = shutil.which("redis-server")
    assert found is not None, f"apt-get installed {_PACKAGE}, but there is no redis-server"
    return Path(found)


def _free_port() -> int:
    # Far from those that the system gives out, as each is used again after its server was killed; and below
    # 55,536, as a server in cluster mode needs another one 10,000 above.
    (port,) = free_ports(1)
    return port

"""Gates before systems that speak TLS: certificates are checked as before, by the same names."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import psycopg
import pytest
import redis

from holdfast.chaos.faults.sinks import SystemDown, SystemSlow
from holdfast.chaos.gates.gates import Gates
from holdfast.local.ports import free_ports
from tests.support.gates import calling, declared, echoing
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for the name localhost, which clients of the test trust; its key is beside it."""
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext "
        f"subjectAltName=DNS:localhost -keyout {tmp_path}/key.pem -out {tmp_path}/certificate.pem".split(),
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    return tmp_path / "certificate.pem"


def test_a_gate_speaks_tls_with_a_service_that_does(tmp_path: Path, certificate: Path) -> None:
    """It checks the certificate against the service's name; clients speak plain HTTP with the gate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with echoing(context) as port:
        topology = declared(
            tmp_path,
            gateway={"type": "http", "url": f"https://localhost:{port}"},
            other={"type": "http", "url": f"https://127.0.0.1:{port}"},
        )
        with Gates(topology, ["gateway", "other"]) as gates, calling(gates) as connection:
            connection.request("GET", "/tls")
            assert connection.getresponse().read() == f"localhost:{port} /tls 0".encode()
            connection.request("GET", "/until-it-closes")
            assert connection.getresponse().read().endswith(b" 0")
            with pytest.raises((OSError, HTTPException)):
                urllib.request.urlopen(f"http://127.0.0.1:{gates.ports('other')[0]}/tls", timeout=10)


def test_a_gate_speaks_tls_with_a_redis_that_does(tmp_path: Path, certificate: Path) -> None:
    (port,) = free_ports(1)
    server = RedisServer(
        tls_port=str(port),
        tls_cert_file=str(certificate),
        tls_key_file=str(certificate.with_name("key.pem")),
        tls_auth_clients="no",
    )
    try:
        server.start()
        topology = declared(tmp_path, cache={"type": "redis", "url": f"rediss://localhost:{port}/0"})
        with (
            Gates(topology, ["cache"]) as gates,
            redis.Redis.from_url(str(gates.keys["cache"]["url"]), retry=None, socket_timeout=5) as client,
        ):
            assert client.incr("tls") == 1
            slow = SystemSlow(gates, ["cache"], 0.2)
            slow.begin()
            assert client.incr("tls") == 2
            assert slow.end()["longest"]["cache"] >= 0.2
            SystemDown(gates, ["cache"]).begin()
            with pytest.raises(redis.ConnectionError):
                client.incr("tls")
    finally:
        server.close()


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that speaks TLS."""
    server = PostgresServer()
    try:
        server.start()
        with server.connect("postgres") as admin:
            row = admin.execute("SHOW data_directory").fetchone()
            assert row is not None
            folder = Path(row[0])
            for name, source in (
                ("server.crt", certificate),
                ("server.key", certificate.with_name("key.pem")),
            ):
                shutil.copy(source, folder / name)
                shutil.chown(folder / name, folder.owner(), folder.group())
                (folder / name).chmod(0o600)
            admin.execute("ALTER SYSTEM SET ssl = on")
            admin.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        server.close()


def test_tls_goes_through_a_gate_before_postgres_with_the_name_that_is_checked(
    tmp_path: Path, certificate: Path, encrypted: PostgresServer
) -> None:
    """`verify-full` holds for the name of the server, and fails for another one that leads there."""
    dsn = f"port={encrypted.port} user=postgres password=secret sslmode=verify-full sslrootcert={certificate}"
    topology = declared(
        tmp_path,
        db={"type": "postgres", "dsn": f"host=localhost {dsn}"},
        other={"type": "postgres", "dsn": f"host=127.0.0.1 {dsn}"},
    )
    with Gates(topology, ["db", "other"]) as gates:
        right, wrong = (str(gates.keys[name]["dsn"]) for name in ("db", "other"))
        with psycopg.connect(right) as connection:
            is_encrypted = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert is_encrypted.fetchone() == (True,)
            assert connection.info.port == gates.ports("db")[0]
        with pytest.raises(psycopg.OperationalError, match="does not match host name"):
            psycopg.connect(wrong)

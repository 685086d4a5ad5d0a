"""Gates before services over HTTP: what passes, and what is answered in their place."""

from __future__ import annotations

import select
import socket
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from http.client import HTTPConnection, RemoteDisconnected
from itertools import count
from pathlib import Path

import pytest

from holdfast.chaos.faults.sinks import ServiceWrong, SystemDown, SystemSlow
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.gates.manners import Kind, Manner
from holdfast.errors import FaultFailed
from holdfast.local.ports import free_ports
from holdfast.sinks.http import HttpCall
from holdfast.sinks.http.service import HttpService, HttpSettings
from holdfast.sinks.loop import LoopThread
from holdfast.topology import Topology
from tests.support.gates import calling, declared, echoing
from tests.support.gateway import GatewayProcess, gateway_process
from tests.support.http_service import Say, http_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

Declare = Callable[..., Topology]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """Give a function that makes a topology with some sinks."""
    return partial(declared, tmp_path)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A payment gateway of the test's own."""
    with gateway_process(tmp_path / "journal") as gateway:
        yield gateway


@pytest.fixture
def to_gateway(declare: Declare, gateway: GatewayProcess) -> Iterator[Gates]:
    """A gate before the payment gateway."""
    with Gates(declare(gateway={"type": "http", "url": gateway.url}), ["gateway"], seed=7) as gates:
        yield gates


def pay(connection: HTTPConnection, number: int) -> int:
    """Ask for a payment with a key of its own; the status of the answer."""
    body = f'{{"order_id": "o{number}", "customer_id": "ann", "amount": "1.00"}}'
    connection.request("POST", "/charges", body, {"Idempotency-Key": f"key-{number}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_share_of_calls_is_answered_with_500_and_half_of_those_are_done(
    to_gateway: Gates, gateway: GatewayProcess
) -> None:
    """The service's own journal shows both: those that it has never seen, and those that it has done."""
    wrong = ServiceWrong(to_gateway, ["gateway"], 0.5)
    wrong.begin()
    with calling(to_gateway) as connection:
        answered = {f"key-{number}": pay(connection, number) for number in range(400)}
        told = wrong.end()["gateway"]
        assert pay(connection, 1_000) == 201
    assert set(answered.values()) == {201, 500}
    failed = {key for key, status in answered.items() if status == 500}
    charged = {entry.key for entry in gateway.audit()}
    assert 150 < len(failed) < 250
    assert told == {"calls": 400, "done": len(failed & charged), "not done": len(failed - charged)}
    assert 60 < told["done"] < 140
    assert set(answered) - failed <= charged


def test_the_same_seed_answers_the_same_calls_wrongly(declare: Declare, gateway: GatewayProcess) -> None:
    topology = declare(gateway={"type": "http", "url": gateway.url})

    def statuses(seed: int) -> list[int]:
        with Gates(topology, ["gateway"], seed) as gates, calling(gates) as connection:
            gates.become("gateway", Manner(Kind.WRONG, share=0.5))
            return [pay(connection, number) for number in range(30)]

    assert statuses(1) == statuses(1)
    assert statuses(1) != statuses(2)


def test_no_call_that_is_answered_wrongly_is_no_fault(to_gateway: Gates) -> None:
    wrong = ServiceWrong(to_gateway, ["gateway"], 1.0)
    wrong.begin()
    with pytest.raises(FaultFailed, match="none of 0 calls of gateway was answered wrongly"):
        wrong.end()


def test_a_service_is_slow_and_down(to_gateway: Gates) -> None:
    with calling(to_gateway) as connection:
        assert pay(connection, 1) == 201
        slow = SystemSlow(to_gateway, ["gateway"], 0.4)
        slow.begin()
        began = time.monotonic()
        assert pay(connection, 2) == 201
        assert time.monotonic() - began >= 0.4
        slow.end()
        down = SystemDown(to_gateway, ["gateway"])
        down.begin()
        with pytest.raises((ConnectionResetError, BrokenPipeError, RemoteDisconnected)):
            pay(connection, 3)
        connection.close()
        with pytest.raises(ConnectionRefusedError):
            pay(connection, 3)
        connection.close()
        down.end()
        assert pay(connection, 3) == 201


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of that service."""
    with echoing() as port:
        yield port


def test_a_service_is_called_by_its_own_name_and_path(declare: Declare, echo: int) -> None:
    """Several may be behind one address, and tell each other by that name."""
    topology = declare(gateway={"type": "http", "url": f"http://localhost:{echo}/v1"})
    with Gates(topology, ["gateway"]) as gates:
        url = str(gates.keys["gateway"]["url"])
        assert url.endswith("/v1")
        with urllib.request.urlopen(f"{url}/orders", b"12345") as answer:
            assert answer.read() == f"localhost:{echo} /v1/orders 5".encode()


def test_workers_call_a_service_behind_a_gate_as_who_they_are_and_past_their_proxy(
    declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy has no port of the gate on its own loopback; and without its user a service answers 401."""
    (nobody,) = free_ports(1)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{nobody}")
    monkeypatch.setenv("no_proxy", "localhost")
    with http_server() as server:
        topology = declare(gateway={"type": "http", "url": f"http://ann:secret@localhost:{server.port}/v1"})
        with Gates(topology, ["gateway"]) as gates:
            for name, value in gates.environment.items():
                monkeypatch.setenv(name, value)
            url = str(gates.keys["gateway"]["url"])
            loop, service = LoopThread("worker"), HttpService(HttpSettings("gateway", url, call_s=5.0))
            try:
                assert loop.run(service.send(HttpCall("POST", "/0"), "id-1")).status == 200
            finally:
                loop.run(service.close())
                loop.close()
        (asked,) = server.asked
    assert asked.headers["Authorization"] == "Basic " + b64encode(b"ann:secret").decode()
    assert asked.path == "/v1/0"


@pytest.mark.parametrize("lost", [Say(drop=True), Say(half=True)], ids=["no answer", "half an answer"])
def test_a_call_whose_answer_is_lost_proves_nothing(declare: Declare, lost: Say) -> None:
    """The service may have died before it did anything: clients see what they would see without a gate."""
    answered: list[int] = []
    with http_server() as server:
        server.answer = lambda _: lost
        topology = declare(gateway={"type": "http", "url": server.url})
        with Gates(topology, ["gateway"], seed=7) as gates:
            gates.become("gateway", Manner(Kind.WRONG, share=1.0))
            for number in range(20):
                with calling(gates) as connection, suppress(RemoteDisconnected, ConnectionResetError):
                    answered.append(pay(connection, number))
            counts = gates.counts("gateway")
        assert set(answered) == {500}
        assert 0 < len(answered) == 20 - len(server.asked)
    assert (counts.calls, counts.wrong_done, counts.wrong_left) == (20, 0, len(answered))


def test_a_call_that_is_cut_off_proves_nothing(declare: Declare) -> None:
    with http_server() as server:
        server.answer = lambda _: Say(hang=True)
        topology = declare(gateway={"type": "http", "url": server.url})
        with Gates(topology, ["gateway"], seed=7) as gates, ThreadPoolExecutor(1) as pool:
            gates.become("gateway", Manner(Kind.WRONG, share=1.0))
            cut = pool.submit(pay_until_cut, gates)
            deadline = time.monotonic() + 30
            while not server.asked:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            gates.become("gateway", Manner(Kind.DOWN))
            counts = gates.counts("gateway")
            assert (counts.wrong_done, counts.wrong_left) == (0, cut.result(10))


def pay_until_cut(gates: Gates) -> int:
    """Ask for payments until one is cut off; how many were answered with 500."""
    with calling(gates) as connection:
        for number in count():
            try:
                assert pay(connection, number) == 500
            except (RemoteDisconnected, ConnectionResetError):
                return number
    raise AssertionError


def test_a_call_that_becomes_a_tunnel_is_not_answered_wrongly(declare: Declare) -> None:
    """What goes through a tunnel has no statuses: whoever is let through gets all of it."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhello"
    with socket.create_server(("127.0.0.1", 0)) as service, ExitStack() as stack:
        topology = declare(gateway={"type": "http", "url": f"http://127.0.0.1:{service.getsockname()[1]}"})
        gates = stack.enter_context(Gates(topology, ["gateway"], seed=7))
        gates.become("gateway", Manner(Kind.WRONG, share=1.0))
        client = stack.enter_context(socket.create_connection(("127.0.0.1", gates.ports("gateway")[0]), 10))
        server, _ = service.accept()
        stack.enter_context(server)
        # The seed decides which one the service gets.
        while not select.select([server], [], [], 0.2)[0]:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        server.sendall(answer)
        said = b""
        while not said.endswith(b"hello"):
            said += client.recv(4096)
        assert said.endswith(answer)
        assert gates.counts("gateway").wrong_done == 0


def test_an_answer_that_ends_with_its_connection_is_one(declare: Declare, echo: int) -> None:
    topology = declare(gateway={"type": "http", "url": f"http://127.0.0.1:{echo}"})
    with Gates(topology, ["gateway"], seed=7) as gates:
        gates.become("gateway", Manner(Kind.WRONG, share=1.0))
        for _ in range(20):
            with calling(gates) as connection:
                connection.request("GET", "/until-it-closes")
                assert connection.getresponse().status == 500
        counts = gates.counts("gateway")
    assert counts.wrong == 20
    assert counts.wrong_done
    assert counts.wrong_left


def test_answers_of_every_length_pass_one_connection(declare: Declare, echo: int) -> None:
    """In chunks, without a body, of unknown length; and asked for before the one before has come."""
    topology = declare(gateway={"type": "http", "url": f"http://127.0.0.1:{echo}"})
    with Gates(topology, ["gateway"]) as gates, calling(gates) as connection:
        large = b"x" * 3_000_000
        for method, path, body in (("POST", "/a", large), ("HEAD", "/b", None), ("GET", "/c", None)):
            connection.request(method, path, body)
            said = connection.getresponse().read().decode()
            assert said == ("" if method == "HEAD" else f"127.0.0.1:{echo} {path} {len(body or b'')}")
        connection.request("GET", "/until-it-closes")
        assert connection.getresponse().read().endswith(b"/until-it-closes 0")
        with socket.create_connection(("127.0.0.1", gates.ports("gateway")[0]), timeout=10) as both:
            both.sendall(
                b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /until-it-closes HTTP/1.1\r\nHost: b\r\n\r\n"
            )
            said = b"".join(iter(lambda: both.recv(4096), b"")).decode()
        assert said.index("a /1") < said.index("b /until-it-closes 0")


def test_wrong_answers_fit_calls_that_come_together(declare: Declare, echo: int) -> None:
    """Each of several calls in one packet has one answer, in their order, whoever gives it."""
    topology = declare(gateway={"type": "http", "url": f"http://127.0.0.1:{echo}"})
    with Gates(topology, ["gateway"]) as gates:
        gates.become("gateway", Manner(Kind.WRONG, share=0.7))
        with socket.create_connection(("127.0.0.1", gates.ports("gateway")[0]), timeout=10) as client:
            calls = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(40))
            client.sendall(calls)
            said = b""
            while said.count(b"HTTP/1.1 ") < 40 or not said.endswith((b"\r\n\r\n", b"}")):
                said += client.recv(65_536)
        right = [int(part.split()[0]) for part in said.decode().split("a /")[1:]]
        assert right == sorted(right)
        assert len(right) + said.count(b"HTTP/1.1 500") == 40
        assert gates.counts("gateway").wrong_done
        assert gates.counts("gateway").wrong_left

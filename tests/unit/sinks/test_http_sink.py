"""The HTTP sink against a real server: what is called, in which order, and what its answers lead to."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from holdfast.errors import CircuitOpen, HandlerError, SinkDown, SinkSlow
from holdfast.record import Position, TopicPartition, Write
from holdfast.resilience import BreakerSettings, CircuitState
from holdfast.runtime.guarded_sink import GuardedSink, SinkGate
from holdfast.sinks.base import SinkBatch
from holdfast.sinks.http import HttpAnswer, HttpCall
from holdfast.sinks.http import service as service_module
from holdfast.sinks.http.service import HttpService, HttpSettings
from holdfast.sinks.http.sink import HttpSink
from holdfast.sinks.loop import LoopThread
from holdfast.testing import MemoryMessage
from tests.support.http_service import Asked, HttpServer, Say, http_server

PLACE = TopicPartition("orders", 3)
BREAKER = BreakerSettings(
    window_s=None, window_calls=20, minimum_calls=8, open_s=0.5, open_jitter=0.0, half_open_calls=1
)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as started:
        yield started


Make = Callable[..., HttpSink]


@pytest.fixture
def make(server: HttpServer) -> Iterator[Make]:
    made: list[HttpSink] = []

    def sink(*, batch_s: float = 5.0, **settings: Any) -> HttpSink:
        given = {"call_s": 5.0, "breaker": BREAKER, "attempts": 1, **settings}
        made.append(HttpSink(HttpSettings("gateway", server.url + "/v1", **given), batch_s))
        return made[-1]

    yield sink
    for each in made:
        each.close()


def write(offset: int, call: HttpCall, key: bytes | None = b"k") -> Write:
    return Write(MemoryMessage("orders", 3, offset, key=key, value=b"{}"), call)


def batch(writes: Sequence[Write], *, begin: int = 0, fence: int = 1, topic_id: str = "id-1") -> SinkBatch:
    ends = {PLACE: writes[-1].message.offset() + 1} if writes else {}
    return SinkBatch(
        group="shop.pay",
        writes=writes,
        begins={PLACE: begin},
        ends=ends,
        fences={PLACE: fence},
        topic_ids={"orders": topic_id},
    )


def calls(count: int, keys: int = 1, first: int = 0) -> list[Write]:
    """Calls with their number in the path, on so many keys."""
    return [
        write(n, HttpCall("POST", f"/{n}", {"n": n}), f"k{n % keys}".encode())
        for n in range(first, first + count)
    ]


def numbers(asked: Sequence[Asked]) -> list[int]:
    return [int(each.path.rpartition("/")[2]) for each in asked]


def test_a_call_arrives_as_it_was_returned(server: HttpServer, make: Make) -> None:
    """Below the sink's URL, with its headers and a key of its own."""
    sink = make(headers={"Authorization": "Bearer t"})
    call = HttpCall("PATCH", "/orders/ann%2Fbob?full=1", {"n": 1}, headers={"X-Trace": "7"})
    assert sink.write(batch([write(41, call)])) == []
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.json()) == ("PATCH", "/v1/orders/ann%2Fbob?full=1", {"n": 1})
    assert asked.headers["Authorization"] == "Bearer t"
    assert asked.headers["X-Trace"] == "7"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.key == "shop.pay/id-1/3/41/1"


def test_calls_of_one_key_keep_their_order_and_others_do_not_wait(server: HttpServer, make: Make) -> None:
    """Each key one call at a time, whatever the service takes for it."""
    under_way: set[str] = set()
    guard = threading.Lock()

    def answer(asked: Asked) -> Say:
        with guard:
            under_way.add(asked.path)
        return Say(after=0.05 if numbers([asked])[0] % 3 else 0.0)

    server.answer = answer
    sink = make(concurrent=8)
    began = time.monotonic()
    sink.write(batch(calls(40, keys=8)))
    took = time.monotonic() - began
    for key in range(8):
        of_key = [n for n in numbers(server.asked) if n % 8 == key]
        assert of_key == sorted(of_key)
    assert server.most_at_once == 8
    assert took < 40 * 0.05, "they were made one after the other"


def test_calls_of_one_record_are_made_one_after_the_other(server: HttpServer, make: Make) -> None:
    """In the order in which the handler returned them, each with its own key."""
    first, second = write(1, HttpCall("POST", "/1")), write(1, HttpCall("POST", "/2"))
    second = Write(first.message, second.value)
    make().write(batch([first, second]))
    assert [asked.key for asked in server.asked] == ["shop.pay/id-1/3/1/1", "shop.pay/id-1/3/1/2"]


def test_a_record_that_is_refused_is_named_and_the_others_go_on(server: HttpServer, make: Make) -> None:
    """Its further calls are not made."""
    server.answer = lambda asked: Say(422, "no such order") if asked.path.endswith("/1") else Say(201)
    second = Write(calls(2)[1].message, HttpCall("POST", "/after"))
    writes = [calls(1)[0], calls(2)[1], second, *calls(1, first=2)]
    writes[1] = Write(second.message, writes[1].value)
    (refusal,) = make().write(batch(writes))
    assert refusal.position == Position("orders", 3, 1)
    assert str(refusal.error) == (
        "sink 'gateway': POST /1 was answered with 422 Unprocessable Entity: no such order"
    )
    assert numbers(server.asked) == [0, 1, 2]


def test_a_redirect_is_not_followed(server: HttpServer, make: Make) -> None:
    """It may lead to another service, and turn a POST into a GET."""
    server.answer = lambda _: Say(307, headers={"Location": "/v1/elsewhere"})
    (refusal,) = make().write(batch(calls(1)))
    assert "307 Temporary Redirect" in str(refusal.error)
    assert len(server.asked) == 1


def test_a_body_that_cannot_be_written_is_the_records_fault(server: HttpServer, make: Make) -> None:
    """As what a database refuses is."""
    (refusal,) = make().write(batch([write(0, HttpCall("POST", "/0", object())), *calls(1, first=1)]))
    assert "cannot be written as JSON" in str(refusal.error)
    assert numbers(server.asked) == [1]


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (Say(503, "maintenance"), "was answered with 503 Service Unavailable: maintenance"),
        (Say(401), "was answered with 401 Unauthorized"),
        (Say(hang=True), r"had no answer within 0\.5 s"),
        (Say(drop=True), "had no answer: ServerDisconnectedError"),
        (Say(half=True), "had no answer: ClientPayloadError"),
    ],
)
def test_a_service_in_trouble_is_down(server: HttpServer, make: Make, say: Say, reason: str) -> None:
    """Nothing of it is set aside."""
    server.answer = lambda _: say
    sink = make(call_s=0.5) if say.hang else make()
    with pytest.raises(SinkDown, match=reason):
        sink.write(batch(calls(3)))
    assert len(server.asked) == 1, "what follows in the key must wait"


def test_a_service_that_is_not_there_is_down(server: HttpServer, make: Make) -> None:
    """And it goes on when it is there again."""
    server.stop()
    sink = make()
    with pytest.raises(SinkDown, match="had no answer: ClientConnectorError"):
        sink.write(batch(calls(3)))
    server.start()
    assert sink.write(batch(calls(3))) == []
    assert numbers(server.asked) == [0, 1, 2]


def test_a_pause_that_the_service_asks_for_is_told(server: HttpServer, make: Make) -> None:
    """The gate keeps it, and says so, while the breaker is closed."""
    server.answer = lambda _: Say(429, headers={"Retry-After": "17"})
    guarded = GuardedSink("pay", make(attempts=3, within_s=1.0), BreakerSettings(), 5.0)
    gate = SinkGate(guarded)
    with pytest.raises(SinkDown) as caught:
        guarded.write(batch(calls(1)))
    assert caught.value.wait_s == 17.0
    assert len(server.asked) == 1, "the pause is longer than a retry may wait"
    gate.failed(caught.value)
    assert gate.is_shut
    assert 10.0 < (gate.pause_s or 0.0) <= 17.0
    assert guarded.breaker.state is CircuitState.CLOSED


def test_a_single_failure_is_tried_again_with_the_same_key(server: HttpServer, make: Make) -> None:
    """One lost answer does not hold up everything."""
    server.answer = lambda _: Say(500 if len(server.asked) == 2 else 200)
    assert make(attempts=3).write(batch(calls(3))) == []
    assert numbers(server.asked) == [0, 1, 1, 2]
    assert server.asked[1].key == server.asked[2].key


def test_what_was_done_before_an_outage_is_not_done_again(server: HttpServer, make: Make) -> None:
    """Also in another cut; but a new ownership, or a topic made anew, begins anew."""
    server.answer = lambda asked: Say(500 if asked.path.endswith("/4") else 200)
    sink = make(concurrent=1)
    with pytest.raises(SinkDown):
        sink.write(batch(calls(8)))
    server.answer = lambda _: Say()
    server.asked.clear()
    sink.write(batch(calls(6)))
    assert numbers(server.asked) == [4, 5]
    server.asked.clear()
    sink.write(batch(calls(7), fence=2))
    assert numbers(server.asked) == [0, 1, 2, 3, 4, 5, 6]
    server.asked.clear()
    sink.write(batch(calls(2), fence=2, topic_id="id-2"))
    assert [asked.key for asked in server.asked] == ["shop.pay/id-2/3/0/1", "shop.pay/id-2/3/1/1"]


def test_refusals_of_before_an_outage_are_told_again(server: HttpServer, make: Make) -> None:
    """The record was not set aside yet: its batch was not committed."""
    server.answer = lambda asked: Say(400 if asked.path.endswith("/0") else 500)
    sink = make(concurrent=1)
    with pytest.raises(SinkDown):
        sink.write(batch(calls(2)))
    server.answer = lambda _: Say()
    (refusal,) = sink.write(batch(calls(2)))
    assert refusal.position.offset == 0


def test_what_is_committed_is_forgotten(server: HttpServer, make: Make) -> None:
    """What is remembered does not grow."""
    sink = make()
    for begin in range(0, 500, 50):
        sink.write(batch(calls(50, keys=50, first=begin), begin=begin))
    assert sum(map(len, sink._work._progress._results.values())) == 50


def test_an_open_breaker_lets_nothing_through(server: HttpServer, make: Make) -> None:
    """It counts calls, not batches; then single ones try whether it is back."""
    server.answer = lambda _: Say(500)
    sink = make(concurrent=8)
    with pytest.raises(SinkDown):
        sink.write(batch(calls(40, keys=40)))
    assert sink.breaker is not None
    assert sink.breaker.state is CircuitState.OPEN
    assert len(server.asked) == 8
    with pytest.raises(SinkDown) as caught:
        sink.write(batch(calls(40, keys=40)))
    assert isinstance(caught.value.__cause__, CircuitOpen)
    assert 0 < (caught.value.wait_s or 0) <= 0.5
    assert len(server.asked) == 8
    server.answer = lambda _: Say()
    deadline = time.monotonic() + 5
    while sink.breaker.wait_s():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sink.write(batch(calls(1))) == []
    assert sink.breaker.state is CircuitState.CLOSED


def test_a_service_that_is_slow_gets_what_it_can_take(server: HttpServer, make: Make) -> None:
    """A batch ends in time, and what it did counts."""
    server.answer = lambda _: Say(after=0.05)
    sink = make(concurrent=1, batch_s=2.0)
    with pytest.raises(SinkSlow, match=r"\d+ of 100 records were done within 2 s"):
        sink.write(batch(calls(100)))
    done = len(server.asked)
    assert 1 < done < 100
    assert sink.breaker is not None
    assert sink.breaker.snapshot().failed == 0
    sink.write(batch(calls(done + 1)))
    assert numbers(server.asked) == list(range(done + 1)), "nothing twice"


def test_a_hung_service_ends_a_batch_in_time(server: HttpServer, make: Make) -> None:
    """Whatever the number of calls: those under way are cut, and no others begin."""
    server.answer = lambda _: Say(hang=True)
    began = time.monotonic()
    with pytest.raises(SinkDown, match=r"no answer within 0\.3 s"):
        make(call_s=0.3, attempts=2).write(batch(calls(500, keys=500)))
    assert time.monotonic() - began < 5


def test_a_header_that_cannot_be_sent_is_the_records_fault(server: HttpServer, make: Make) -> None:
    """No outage, and no reason to end the worker."""
    call = HttpCall("POST", "/0", headers={"X-Name": "ann\r\nX-Admin: yes"})
    sink = make()
    (refusal,) = sink.write(batch([write(0, call), *calls(1, first=1)]))
    assert "POST /0 cannot be made" in str(refusal.error)
    assert numbers(server.asked) == [1]
    assert sink.breaker is not None
    assert sink.breaker.snapshot().succeeded == 1, "what was not sent says nothing of the service"


def through_environment(server: HttpServer, monkeypatch: pytest.MonkeyPatch, not_for: str) -> Sequence[Asked]:
    """Call a service that only its proxy can reach, and return what the proxy was asked."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", not_for)
    sink = HttpSink(HttpSettings("gateway", "http://gateway.invalid/v1", attempts=1, call_s=5.0), 5.0)
    try:
        sink.write(batch(calls(2)))
    finally:
        sink.close()
    return server.asked


def test_calls_go_through_the_proxy_that_the_environment_names(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = through_environment(server, monkeypatch, not_for="elsewhere.invalid")
    assert [each.headers["Host"] for each in asked] == ["gateway.invalid"] * 2


def test_a_service_that_is_to_have_no_proxy_has_none(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SinkDown, match=r"gateway\.invalid"):
        through_environment(server, monkeypatch, not_for="gateway.invalid")
    assert not server.asked


def test_a_record_with_many_calls_ends_in_time_and_goes_on_where_it_was(
    server: HttpServer, make: Make
) -> None:
    """A batch is bounded whatever a record wants, and no call is made twice for that."""
    server.answer = lambda _: Say(after=0.05)
    sink = make(batch_s=0.3)
    record = [write(7, HttpCall("POST", f"/{number}", {"n": number})) for number in range(20)]
    batches = 0
    while True:
        began = time.monotonic()
        batches += 1
        try:
            sink.write(batch(record, begin=7))
            break
        except SinkSlow:
            assert time.monotonic() - began < 3.0
    assert batches > 2
    assert [asked.path for asked in server.asked] == [f"/v1/{number}" for number in range(20)]
    assert len({asked.key for asked in server.asked}) == 20


def test_what_was_called_for_a_record_before_an_outage_is_not_called_again(
    server: HttpServer, make: Make
) -> None:
    """Nor given to another call's key of idempotency."""
    server.answer = lambda asked: Say(503 if asked.path == "/v1/2" else 200)
    sink = make()
    record = [write(7, HttpCall("POST", f"/{number}", {"n": number})) for number in range(4)]
    with pytest.raises(SinkDown):
        sink.write(batch(record, begin=7))
    server.answer = lambda _: Say()
    assert sink.write(batch(record, begin=7)) == []
    assert [asked.path[-1] for asked in server.asked] == ["0", "1", "2", "2", "3"]
    assert len({asked.key for asked in server.asked}) == 4


def test_calls_that_wait_for_their_turn_are_no_failures_of_the_service(server: HttpServer) -> None:
    """A handler may begin more of them than are made at once; each has its time from when it is made."""
    server.answer = lambda _: Say(after=0.2)
    service = HttpService(HttpSettings("gateway", server.url, call_s=0.8, attempts=1, concurrent=8))
    loop = LoopThread("asking")

    async def ask() -> list[HttpAnswer]:
        client = service.client_for("a record")
        return await asyncio.gather(*(client.post("/adds", json=number) for number in range(64)))

    try:
        answers = loop.run(ask())
        assert [answer.status for answer in answers] == [200] * 64
        assert service.breaker.snapshot().failed == 0
        assert server.most_at_once == 8
    finally:
        loop.run(service.close())
        loop.close()


def test_a_service_with_a_rate_gets_no_more_calls_than_that(server: HttpServer, make: Make) -> None:
    """Evenly spaced; a batch that they take too long for comes again, and nothing is called twice."""
    sink = make(rate=20, batch_s=0.6)
    for _ in range(20):
        try:
            assert sink.write(batch(calls(30, keys=30))) == []
            break
        except SinkSlow:
            pass
    assert sorted(numbers(server.asked)) == list(range(30))
    times = [asked.at for asked in server.asked]
    # Ten of them take ten turns of 50 ms, but for what the way to the server takes more or less.
    assert min(later - sooner for sooner, later in zip(times, times[10:], strict=False)) > 0.4


Ask = Callable[[HttpService, int], list[HttpAnswer]]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Make so many calls at once, as a handler does in a group of tasks."""
    loop = LoopThread("asking")
    services: list[HttpService] = []

    async def handle(service: HttpService, count: int) -> list[HttpAnswer]:
        client = service.client_for("a record")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.post("/adds", json=number)) for number in range(count)]
        return [task.result() for task in tasks]

    def run(service: HttpService, count: int) -> list[HttpAnswer]:
        services.append(service)
        return loop.run(handle(service, count))

    yield run
    for service in services:
        loop.run(service.close())
    loop.close()


def tripped(server: HttpServer, **settings: Any) -> HttpService:
    """A service whose circuit was opened, and whose open time is over."""
    given = {"call_s": 5.0, "breaker": replace(BREAKER, open_s=0.01, half_open_s=3_600.0), **settings}
    service = HttpService(HttpSettings("gateway", server.url, **given))
    service.breaker.open()
    until = time.monotonic() + 5
    while service.breaker.wait_s():
        assert time.monotonic() < until
    return service


def outages_of(errors: BaseExceptionGroup) -> list[SinkDown]:
    return [error for error in errors.exceptions if isinstance(error, SinkDown)]


def test_two_calls_at_once_close_a_circuit_that_lets_one_through(server: HttpServer, ask: Ask) -> None:
    """The other one waits for the probe, instead of ending it by its own failure."""
    server.answer = lambda _: Say(after=0.1)
    service = tripped(server)
    assert [answer.status for answer in ask(service, 2)] == [200, 200]
    assert service.breaker.state is CircuitState.CLOSED
    assert server.most_at_once == 1


def test_two_calls_at_once_close_a_circuit_that_lets_an_odd_number_through(
    server: HttpServer, ask: Ask
) -> None:
    """Of the last pair one is refused, until the other has closed the circuit."""
    breaker = replace(BREAKER, open_s=0.01, half_open_calls=5, half_open_s=3_600.0)
    service = tripped(server, breaker=breaker)
    for _ in range(3):
        assert len(ask(service, 2)) == 2
    assert service.breaker.state is CircuitState.CLOSED


def test_a_call_that_waits_for_a_probe_takes_a_place_that_is_given_back(server: HttpServer) -> None:
    """What cannot be sent says nothing of the service: the next one is the probe."""
    service = tripped(server)
    loop = LoopThread("asking")

    async def handle() -> list[HttpAnswer | BaseException]:
        client = service.client_for("a record")
        odd = client.post("/adds", headers={"X-Name": "ann\r\n"})
        return await asyncio.gather(odd, client.post("/adds"), return_exceptions=True)

    try:
        odd, plain = loop.run(handle())
        assert isinstance(odd, HandlerError)
        assert isinstance(plain, HttpAnswer)
    finally:
        loop.run(service.close())
        loop.close()
    assert service.breaker.state is CircuitState.CLOSED


def test_a_call_that_waits_for_a_probe_that_fails_is_down_in_time(server: HttpServer, ask: Ask) -> None:
    """It is not made, as the circuit is open again."""
    server.answer = lambda _: Say(hang=True)
    service = tripped(server, call_s=0.5, attempts=1)
    began = time.monotonic()
    with pytest.raises(BaseExceptionGroup) as caught:
        ask(service, 2)
    assert time.monotonic() - began < 4
    assert "had no answer within 0.5 s" in str(outages_of(caught.value)[0])
    assert service.breaker.state is CircuitState.OPEN
    assert len(server.asked) == 1


def test_a_call_waits_for_a_probe_no_longer_than_a_call_may_take(server: HttpServer, ask: Ask) -> None:
    """Whoever has the place may never give it back."""
    service = tripped(server, call_s=0.3)
    service.breaker.acquire()
    began = time.monotonic()
    with pytest.raises(BaseExceptionGroup) as caught:
        ask(service, 1)
    assert 0.3 <= time.monotonic() - began < 4
    (outage,) = outages_of(caught.value)
    assert "breaker gateway is HALF_OPEN" in str(outage)
    assert isinstance(outage.__cause__, CircuitOpen)


def test_a_call_that_waits_for_a_probe_follows_an_order(server: HttpServer, ask: Ask) -> None:
    """It comes from another thread."""
    service = tripped(server, call_s=20.0)
    service.breaker.acquire()
    timer = threading.Timer(0.2, service.breaker.observe_only)
    timer.start()
    began = time.monotonic()
    assert len(ask(service, 3)) == 3
    assert time.monotonic() - began < 10
    timer.join()


def test_an_answer_that_is_too_long_is_the_calls_fault(
    server: HttpServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is so whenever the call is made: no outage, for which everybody would wait for ever."""
    monkeypatch.setattr(service_module, "_LONGEST_ANSWER", 1_000)
    server.answer = lambda _: Say(body="x" * 5_000)
    sink = make()
    [refusal] = sink.write(batch(calls(1)))
    assert "more than 1,000 bytes" in str(refusal.error)
    assert sink.breaker is not None
    assert sink.breaker.state is CircuitState.CLOSED

"""Async handlers on the way to the commit: order, outputs, and what becomes of handlers that fail or hang."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from holdfast import Context, Event
from holdfast.downstream import Client
from holdfast.engine.asking import AskingHandler
from holdfast.engine.handler import inspect_handler
from holdfast.engine.outputs import Router
from holdfast.errors import (
    BulkheadFull,
    CircuitOpen,
    HandlerError,
    RateLimited,
    RecordFailed,
    SinkDown,
    SinkError,
    SinkRefused,
)
from holdfast.record import Position, TopicPartition, Write
from holdfast.resilience import BreakerSettings, CircuitBreaker, CircuitState
from holdfast.runtime.asking import AskingStage, Failing
from holdfast.schema import TopicEncoder
from holdfast.sinks.base import Downstream, SinkBatch
from holdfast.sinks.http import HttpClient
from holdfast.sinks.http.service import HttpService, HttpSettings
from holdfast.testing import MemoryMessage
from tests.support.http_service import HttpServer, Say, http_server

PLACE = TopicPartition("asks", 2)
SETTINGS = BreakerSettings(window_s=None, window_calls=4, minimum_calls=2, open_s=60.0)


PATIENT = replace(SETTINGS, window_calls=100, minimum_calls=100)


class Number(Event):
    key: str
    n: int


class Oracle(Client):
    """What handlers ask; the test says what it answers."""

    def __init__(self, owner: Oracles, identity: str) -> None:
        self._owner = owner
        self.identity = identity

    async def ask(self, n: int) -> int:
        """Double a number."""
        self._owner.asked.append((self.identity, n))
        return await self._owner.answer(n)


class Oracles(Downstream):
    client = Oracle

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.answer: Callable[[int], Awaitable[int]] = self._double
        self.is_closed = False

    async def _double(self, n: int) -> int:
        # The later the record, the sooner its answer.
        await asyncio.sleep(0.02 / (n + 1))
        return 2 * n

    def client_for(self, identity: str) -> Oracle:
        return Oracle(self, identity)

    async def close(self) -> None:
        self.is_closed = True


async def double(number: Number, oracle: Oracle, at: Context) -> list[Number] | None:
    answer = await oracle.ask(number.n)
    assert at.fencing_token == 7
    if answer == 8:
        return None
    return [Number(key=number.key, n=answer), Number(key=number.key, n=at.offset)]


Make = Callable[..., AskingStage]


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin all records of a batch, however long it takes to come to them."""
    monkeypatch.setattr("holdfast.runtime.asking._BEGIN_WITHIN", 100.0)


@pytest.fixture
def oracles() -> Oracles:
    return Oracles()


@pytest.fixture
def make(oracles: Oracles) -> Iterator[Make]:
    made: list[AskingStage] = []

    def stage(
        handler: Any = double,
        *,
        on_error: Failing = "stop",
        timeout: float = 5.0,
        settings: BreakerSettings = SETTINGS,
    ) -> AskingStage:
        router = Router("doubler", {"out": TopicEncoder("out", [Number], "key")}, {"out": 10_000})
        asking = AskingHandler(inspect_handler(handler), router)
        made.append(AskingStage(asking, {"oracle": oracles}, on_error, timeout, {"oracle": settings}))
        return made[-1]

    yield stage
    for each in made:
        each.close()


def batch(*numbers: int, keys: int = 100, begin: int = 0) -> SinkBatch:
    writes = [
        Write(
            MemoryMessage("asks", 2, n, key=f"k{n % keys}".encode(), value=b"{}"),
            Number(key=f"k{n % keys}", n=n),
        )
        for n in numbers
    ]
    return SinkBatch(
        group="shop.doubler",
        writes=writes,
        begins={PLACE: begin},
        ends={PLACE: numbers[-1] + 1},
        fences={PLACE: 7},
        topic_ids={"asks": "id-1"},
    )


def values(outputs: Any) -> list[int]:
    return [int(output.value.decode().partition('"n":')[2].rstrip("}")) for output in outputs]


def test_outputs_are_in_the_order_of_their_records(make: Make, oracles: Oracles) -> None:
    """Whatever the order of the answers; a handler may return nothing."""
    written = make().write(batch(0, 1, 2, 3, 4, 5))
    assert values(written.outputs) == [0, 0, 2, 1, 4, 2, 6, 3, 10, 5]
    assert {identity for identity, _ in oracles.asked} == {f"shop.doubler/id-1/2/{n}" for n in range(6)}


def test_records_of_a_key_wait_for_each_other(make: Make, oracles: Oracles) -> None:
    """Later ones would have the sooner answer."""
    make().write(batch(*range(12), keys=3))
    for key in range(3):
        of_key = [n for _, n in oracles.asked if n % 3 == key]
        assert of_key == sorted(of_key)


def test_a_system_that_is_down_ends_the_batch_and_what_was_done_counts(make: Make, oracles: Oracles) -> None:
    """When it comes again only the rest is asked for, and all outputs are there."""
    stage = make()
    usual = oracles.answer

    async def down(n: int) -> int:
        if n >= 3:
            await asyncio.sleep(0.1)
            raise SinkDown("away", 3.0)
        return await usual(n)

    oracles.answer = down
    with pytest.raises(SinkDown, match="away") as caught:
        stage.write(batch(0, 1, 2, 3, 4))
    assert caught.value.wait_s == 3.0
    oracles.answer = usual
    oracles.asked.clear()
    written = stage.write(batch(0, 1, 2, 3, 4))
    assert sorted(n for _, n in oracles.asked) == [3, 4]
    assert values(written.outputs) == [0, 0, 2, 1, 4, 2, 6, 3]


def test_a_breaker_of_batches_stands_before_systems_without_one(make: Make, oracles: Oracles) -> None:
    """It opens after a few that failed, and then nothing is asked."""

    async def down(_: int) -> int:
        raise SinkDown("away")

    oracles.answer = down
    stage = make()
    for _ in range(2):
        with pytest.raises(SinkDown, match="away"):
            stage.write(batch(0))
    with pytest.raises(SinkDown) as caught:
        stage.write(batch(0))
    assert isinstance(caught.value.__cause__, CircuitOpen)
    assert len(oracles.asked) == 2
    spread = SETTINGS.open_jitter
    assert 60 * (1 - spread) - 5 < stage.guards[0].wait_s <= 60 * (1 + spread)


class Pair:
    """A handler that asks two systems; without more neither has a breaker of its own."""

    def __init__(self, handler: Any, on_error: Failing = "stop", **breakers: CircuitBreaker) -> None:
        self.oracle, self.gateway = Oracles(), Oracles()
        systems = {"oracle": self.oracle, "gateway": self.gateway}
        for name, breaker in breakers.items():
            systems[name].breaker = breaker
        router = Router("doubler", {"out": TopicEncoder("out", [Number], "key")}, {"out": 10_000})
        asking = AskingHandler(inspect_handler(handler), router)
        settings = {"oracle": SETTINGS, "gateway": replace(SETTINGS, open_s=7.0)}
        self.stage = AskingStage(asking, systems, on_error, 0.3, settings)
        self.breakers = {guard.sinks[0]: guard.breaker for guard in self.stage.guards}

    def failed(self) -> dict[str, int]:
        """How many calls of each failed."""
        return {name: breaker.snapshot().failed for name, breaker in self.breakers.items()}

    def calls(self) -> dict[str, int]:
        """How many calls of each count."""
        return {name: breaker.snapshot().calls for name, breaker in self.breakers.items()}


async def ask_both(number: Number, oracle: Oracle, gateway: Oracle) -> None:
    await oracle.ask(number.n)
    await gateway.ask(number.n)


async def ask_both_at_once(number: Number, oracle: Oracle, gateway: Oracle) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(oracle.ask(number.n))
        group.create_task(gateway.ask(number.n))


async def ask_and_say_it_otherwise(number: Number, oracle: Oracle, gateway: Oracle) -> None:
    try:
        await oracle.ask(number.n)
        await gateway.ask(number.n)
    except SinkDown as error:
        raise SinkDown(f"no luck: {error}") from None


async def _ask_in_turn(oracle: Oracle, gateway: Oracle, n: int) -> None:
    await oracle.ask(n)
    try:
        await gateway.ask(n)
    except SinkDown as error:
        raise SinkDown(f"no luck: {error}") from error


async def ask_by_a_function(number: Number, oracle: Oracle, gateway: Oracle) -> None:
    await _ask_in_turn(oracle, gateway, number.n)


async def answer(_: int) -> int:
    return 0


async def be_away(_: int) -> int:
    raise SinkDown("away")


async def be_away_soon(_: int) -> int:
    await asyncio.sleep(0.05)
    raise SinkDown("away")


async def hang(_: int) -> int:
    await asyncio.Event().wait()
    return 0


HANDLERS = [ask_both, ask_both_at_once, ask_and_say_it_otherwise, ask_by_a_function]


def test_each_system_has_a_guard_with_its_own_name_and_settings() -> None:
    """An operator forces a system by its name, and its declaration says when it opens."""
    own = CircuitBreaker("gateway", SETTINGS)
    pair = Pair(ask_both, gateway=own)
    assert [each.sinks for each in pair.stage.guards] == [("oracle",), ("gateway",)]
    assert pair.breakers["gateway"] is own
    pair.stage.close()
    pair = Pair(ask_both)
    assert {name: breaker.settings.open_s for name, breaker in pair.breakers.items()} == {
        "oracle": 60.0,
        "gateway": 7.0,
    }
    assert [breaker.name for breaker in pair.breakers.values()] == ["oracle", "gateway"]
    pair.stage.close()


@pytest.mark.parametrize(
    ("handler", "trouble"),
    # Nobody knows which one a group of tasks waited for.
    [(each, be_away) for each in HANDLERS] + [(each, hang) for each in HANDLERS if each != ask_both_at_once],
)
def test_only_the_breaker_of_the_system_that_is_away_opens(handler: Any, trouble: Any) -> None:
    """The other one's stays closed, and nothing is counted for it that nobody knows."""
    pair = Pair(handler)
    pair.oracle.answer, pair.gateway.answer = answer, trouble
    for n in range(2):
        with pytest.raises(SinkDown):
            pair.stage.write(batch(n))
    assert pair.failed() == {"oracle": 0, "gateway": 2}
    assert pair.calls()["oracle"] == 0
    with pytest.raises(SinkDown, match="breaker gateway is OPEN"):
        pair.stage.write(batch(0))
    assert pair.breakers["oracle"].state is CircuitState.CLOSED
    pair.stage.close()


@pytest.mark.parametrize("handler", HANDLERS)
def test_an_outage_of_a_system_with_a_breaker_of_its_own_is_counted_by_that_alone(handler: Any) -> None:
    """It counts its calls itself."""
    pair = Pair(handler, gateway=CircuitBreaker("gateway", SETTINGS))
    pair.oracle.answer, pair.gateway.answer = answer, be_away
    for n in range(5):
        with pytest.raises(SinkDown, match="away"):
            pair.stage.write(batch(n))
    assert pair.calls() == {"oracle": 0, "gateway": 0}
    pair.gateway.answer = answer
    pair.stage.write(batch(9))
    assert pair.calls()["oracle"] == 1
    pair.stage.close()


def test_an_outage_of_the_system_without_a_breaker_is_counted_beside_one_with() -> None:
    """As if it were asked alone."""
    pair = Pair(ask_both, gateway=CircuitBreaker("gateway", SETTINGS))
    pair.oracle.answer, pair.gateway.answer = be_away, answer
    for n in range(2):
        with pytest.raises(SinkDown, match="away"):
            pair.stage.write(batch(n))
    with pytest.raises(SinkDown, match="breaker oracle is OPEN"):
        pair.stage.write(batch(3))
    pair.stage.close()


def test_systems_that_are_away_at_once_are_both_counted() -> None:
    """Each by a record of its own, in one batch."""

    async def ask_one(number: Number, oracle: Oracle, gateway: Oracle) -> None:
        await (gateway if number.n else oracle).ask(number.n)

    pair = Pair(ask_one)
    pair.oracle.answer = pair.gateway.answer = be_away_soon
    with pytest.raises(SinkDown, match="away"):
        pair.stage.write(batch(0, 1))
    assert pair.failed() == {"oracle": 1, "gateway": 1}
    pair.stage.close()


def test_a_breaker_that_refuses_a_batch_leaves_the_others_as_they_were() -> None:
    """Also one that is half-open: its permit is given back."""
    pair = Pair(ask_both)
    pair.oracle.answer = pair.gateway.answer = answer
    pair.breakers["gateway"].force_open("by ann")
    pair.breakers["oracle"].open()
    with pytest.raises(SinkDown):
        pair.stage.write(batch(0))
    pair.breakers["oracle"].close()
    for n in range(3):
        with pytest.raises(SinkDown, match="breaker gateway is FORCED_OPEN"):
            pair.stage.write(batch(n))
    assert pair.calls() == {"oracle": 0, "gateway": 0}
    pair.breakers["gateway"].close()
    pair.stage.write(batch(0))
    assert pair.calls() == {"oracle": 1, "gateway": 1}
    pair.stage.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("odd"), ValueError),
        (TimeoutError("its own"), TimeoutError),
        (asyncio.CancelledError("by itself"), Exception),
        (SystemExit(3), Exception),
    ],
)
def test_what_a_handler_raises_is_judged_by_its_policy(
    make: Make, oracles: Oracles, error: BaseException, kind: type[Exception]
) -> None:
    """Set aside, or the shard stops there: then the record is known, and not asked for again."""

    async def odd(n: int) -> int:
        if n == 1:
            raise error
        return n

    oracles.answer = odd
    written = make(on_error="refuse").write(batch(0, 1, 2))
    (refusal,) = written.refusals
    assert refusal.position.offset == 1
    assert isinstance(refusal.error, kind)
    assert values(written.outputs) == [0, 0, 2, 2]
    stage = make()
    with pytest.raises(RecordFailed) as caught:
        stage.write(batch(0, 1, 2))
    assert caught.value.position == Position("asks", 2, 1)
    oracles.asked.clear()
    with pytest.raises(RecordFailed):
        stage.write(batch(1, begin=1))
    assert oracles.asked == []


@pytest.mark.parametrize(
    "refused",
    [CircuitOpen("mine", "OPEN", 7.0), BulkheadFull("full", 7.0), RateLimited("too many", 7.0)],
    ids=lambda it: type(it).__name__,
)
@pytest.mark.parametrize("on_error", ["refuse", "stop", "again"])
def test_a_call_that_the_handlers_own_client_refuses_is_an_outage(
    make: Make, oracles: Oracles, refused: Exception, on_error: Failing
) -> None:
    """The record is not to blame: it waits for as long as the client says, and comes again."""

    async def refuse(_: int) -> int:
        raise refused

    usual, oracles.answer = oracles.answer, refuse
    stage = make(on_error=on_error)
    for _ in range(5):
        with pytest.raises(SinkDown, match=str(refused)) as caught:
            stage.write(batch(0))
        assert caught.value.wait_s == 7.0
        assert caught.value.__cause__ is refused
    oracles.answer = usual
    assert values(stage.write(batch(0)).outputs) == [0, 0]


def test_a_call_that_was_not_made_says_nothing_of_its_system(make: Make, oracles: Oracles) -> None:
    """Its own breaker knows more than one that counts batches."""

    async def refuse(_: int) -> int:
        raise CircuitOpen("mine", "OPEN", 7.0)

    oracles.answer = refuse
    stage = make()
    for _ in range(5):
        with pytest.raises(SinkDown, match="breaker mine is OPEN"):
            stage.write(batch(0))
    assert stage.guards[0].breaker.snapshot().calls == 0


async def at_once(number: Number, oracle: Oracle) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(number.n, number.n + 3):
            group.create_task(oracle.ask(n))


def test_an_outage_among_calls_that_are_made_at_once_is_one(make: Make, oracles: Oracles) -> None:
    """A group of tasks tells of it in a group of errors."""

    async def down(n: int) -> int:
        if n == 1:
            raise SinkDown("away", 3.0)
        await asyncio.sleep(10)
        return n

    oracles.answer = down
    with pytest.raises(SinkDown, match="away") as caught:
        make(at_once, on_error="refuse").write(batch(0))
    assert caught.value.wait_s == 3.0


def test_a_refusal_that_a_handler_raises_is_its_records_failure(make: Make, oracles: Oracles) -> None:
    """What a sink returns, whoever asks may raise; the worker does not end with it."""

    async def refuse(n: int) -> int:
        if n == 1:
            raise SinkRefused("too long")
        return n

    oracles.answer = refuse
    written = make(on_error="refuse").write(batch(0, 1, 2))
    (refusal,) = written.refusals
    assert refusal.position.offset == 1
    assert isinstance(refusal.error, SinkRefused)
    with pytest.raises(RecordFailed, match="too long"):
        make().write(batch(0, 1, 2))


def test_a_handler_that_hangs_is_cut_and_its_record_comes_again(make: Make, oracles: Oracles) -> None:
    """Whatever it waits for; the others of its batch are done."""

    async def hang(n: int) -> int:
        if n == 1:
            await asyncio.Event().wait()
        return n

    oracles.answer = hang
    stage = make(timeout=0.4)
    began = time.monotonic()
    with pytest.raises(SinkDown, match=r"was not done with asks\[2\]@1 within 0\.4 s; it asks oracle"):
        stage.write(batch(0, 1, 2))
    assert time.monotonic() - began < 4
    oracles.asked.clear()
    with pytest.raises(SinkDown):
        stage.write(batch(0, 1, 2))
    assert [n for _, n in oracles.asked] == [1]


def cut(stage: AskingStage, *numbers: int, begin: int = 0) -> None:
    """Write a batch whose handlers are cut."""
    with pytest.raises(SinkDown, match="the handler was not done with"):
        stage.write(batch(*numbers, begin=begin))


async def hang_at_one(n: int) -> int:
    if n == 1:
        await asyncio.Event().wait()
    return n


SAID = r"the handler took more than 0\.3 s for this record 3 times, with no sign that oracle is down"


def test_a_record_whose_handler_always_takes_too_long_is_judged_by_the_policy(
    make: Make, oracles: Oracles
) -> None:
    """It is no outage that would end: the third time, the others of its batch and all behind it go on."""
    oracles.answer = hang_at_one
    stage = make(on_error="refuse", timeout=0.3, settings=PATIENT)
    cut(stage, 0, 1, 2)
    cut(stage, 1, begin=1)
    written = stage.write(batch(1, 2, 3, begin=1))
    (refusal,) = written.refusals
    assert refusal.position.offset == 1
    assert isinstance(refusal.error, HandlerError)
    assert re.fullmatch(SAID, str(refusal.error))
    assert refusal.attempts == 3
    assert values(written.outputs) == [2, 2, 3, 3]


def test_a_record_that_fails_after_it_was_cut_tells_of_both(make: Make, oracles: Oracles) -> None:
    """And one that fails at once was tried once; what an outage ended is no attempt."""

    async def fail(_: int) -> int:
        raise ValueError("odd")

    oracles.answer = be_away
    stage = make(on_error="refuse", timeout=0.3, settings=PATIENT)
    with pytest.raises(SinkDown):
        stage.write(batch(1))
    oracles.answer = hang_at_one
    cut(stage, 1)
    oracles.answer = fail
    one, other = stage.write(batch(1, 2)).refusals
    assert (one.position.offset, one.attempts) == (1, 2)
    assert (other.position.offset, other.attempts) == (2, 1)


def test_a_shard_that_stops_at_records_stops_at_one_that_always_takes_too_long(
    make: Make, oracles: Oracles
) -> None:
    """And does not ask for it again."""
    oracles.answer = hang_at_one
    stage = make(timeout=0.3, settings=PATIENT)
    for _ in range(2):
        cut(stage, 0, 1, 2)
    with pytest.raises(RecordFailed, match=SAID):
        stage.write(batch(0, 1, 2))
    oracles.asked.clear()
    with pytest.raises(RecordFailed, match=SAID):
        stage.write(batch(1, begin=1))
    assert oracles.asked == []


def test_a_record_that_took_too_long_is_tried_again_where_that_is_the_policy(
    make: Make, oracles: Oracles
) -> None:
    """Each further attempt is one of the policy's."""
    oracles.answer = hang_at_one
    stage = make(on_error="again", timeout=0.3, settings=PATIENT)
    for _ in range(2):
        cut(stage, 1)
    for times in (3, 4):
        with pytest.raises(RecordFailed, match=f"for this record {times} times"):
            stage.write(batch(1))
    oracles.answer = answer
    assert stage.write(batch(1)).refusals == []


def test_a_handler_that_is_cut_in_the_outage_of_another_is_not_to_blame(make: Make, oracles: Oracles) -> None:
    """The batch ended for that; when it is over the count begins."""

    async def in_trouble(n: int) -> int:
        if n == 0:
            raise SinkDown("away")
        return await hang_at_one(n)

    oracles.answer = in_trouble
    stage = make(on_error="refuse", timeout=0.3, settings=PATIENT)
    for _ in range(5):
        with pytest.raises(SinkDown, match="away"):
            stage.write(batch(1, 0))
    oracles.answer = hang_at_one
    for _ in range(2):
        cut(stage, 1)
    assert len(stage.write(batch(1)).refusals) == 1


@pytest.mark.parametrize("enter", ["open", "force_open"])
def test_a_handler_that_is_cut_while_a_breaker_is_open_is_not_to_blame(enter: str) -> None:
    """What it asks is away, whatever it waited for."""
    own = CircuitBreaker("gateway", SETTINGS)
    pair = Pair(ask_both, on_error="refuse", gateway=own)
    pair.oracle.answer, pair.gateway.answer = hang, answer
    getattr(own, enter)()
    pair.breakers["oracle"].observe_only()
    for _ in range(5):
        cut(pair.stage, 0)
    own.close()
    for _ in range(2):
        cut(pair.stage, 0)
    assert len(pair.stage.write(batch(0)).refusals) == 1
    pair.stage.close()


def test_a_handler_that_is_cut_when_calls_have_failed_is_not_to_blame() -> None:
    """They took its time, though they are too few yet to open a breaker."""
    own = CircuitBreaker("gateway", PATIENT)
    pair = Pair(ask_both, on_error="refuse", gateway=own)

    async def fail_and_hang(n: int) -> int:
        own.fail(own.acquire(), 0.0)
        return await hang(n)

    pair.oracle.answer, pair.gateway.answer = answer, fail_and_hang
    for _ in range(5):
        cut(pair.stage, 0)
    pair.gateway.answer = hang
    for _ in range(2):
        cut(pair.stage, 0)
    assert len(pair.stage.write(batch(0)).refusals) == 1
    pair.stage.close()


def test_a_record_that_opens_the_breaker_by_taking_too_long_is_judged_when_it_is_tried(
    make: Make, oracles: Oracles
) -> None:
    """Or it would be the probe for ever."""
    oracles.answer = hang_at_one
    stage = make(on_error="refuse", timeout=0.3, settings=replace(SETTINGS, open_s=0.01))
    for _ in range(2):
        cut(stage, 1)
    assert stage.guards[0].breaker.state is CircuitState.OPEN
    until = time.monotonic() + 5
    while stage.guards[0].wait_s:
        assert time.monotonic() < until
    assert len(stage.write(batch(1)).refusals) == 1


async def call(number: Number, gateway: HttpClient) -> None:
    await gateway.post("/calls", json=number)


async def call_twice_at_once(number: Number, gateway: HttpClient) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(gateway.post("/calls", json=number))


async def call_late(number: Number, gateway: HttpClient) -> None:
    await asyncio.sleep(0.3)
    await gateway.post("/calls", json=number)


async def call_again_and_again(number: Number, gateway: HttpClient) -> None:
    while True:
        await gateway.post("/calls", json=number)


async def call_and_think(number: Number, gateway: HttpClient) -> None:
    await gateway.post("/calls", json=number)
    await asyncio.Event().wait()


async def call_and_call_slowly(number: Number, gateway: HttpClient) -> None:
    await gateway.post("/calls", json=number)
    await gateway.post("/slow", json=number)


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as started:
        yield started


@contextmanager
def calling(
    handler: Any, url: str, settings: BreakerSettings = SETTINGS
) -> Iterator[tuple[AskingStage, CircuitBreaker]]:
    """A handler that calls a real service, whose calls may take much longer than it may itself."""
    router = Router("doubler", {"out": TopicEncoder("out", [Number], "key")}, {"out": 10_000})
    service = HttpService(HttpSettings("gateway", url, call_s=60.0, breaker=settings))
    asking = AskingHandler(inspect_handler(handler), router)
    stage = AskingStage(asking, {"gateway": service}, "refuse", 0.5, {"gateway": settings})
    yield stage, service.breaker
    stage.close()


@pytest.mark.parametrize("handler", [call, call_twice_at_once, call_late])
def test_a_handler_that_is_cut_while_a_service_hangs_is_not_to_blame(handler: Any, silent: str) -> None:
    """The call that it waited for counts as failed: the breaker opens, and later on lets single ones try."""
    settings = replace(SETTINGS, open_s=0.01, open_growth=1.0, half_open_calls=1)
    with calling(handler, silent, settings) as (stage, breaker):
        opened: list[CircuitState] = []
        breaker.listen(lambda transition: opened.append(transition.after))
        for _ in range(5):
            until = time.monotonic() + 5
            while breaker.wait_s():
                assert time.monotonic() < until
            cut(stage, 0)
        assert CircuitState.OPEN in opened
        assert breaker.state is CircuitState.OPEN
        assert CircuitState.CLOSED not in opened


def test_a_handler_that_is_cut_while_some_calls_are_never_answered_is_not_to_blame(
    server: HttpServer,
) -> None:
    """Others are, at the same time: a part of the service hangs."""
    server.answer = lambda asked: Say(hang=asked.path == "/slow")
    with calling(call_and_call_slowly, server.url, PATIENT) as (stage, breaker):
        for times in range(1, 6):
            cut(stage, 0)
            assert breaker.snapshot().failed == times


@pytest.mark.parametrize("handler", [call_again_and_again, call_and_think])
def test_a_handler_that_is_cut_while_a_service_answers_is_to_blame(handler: Any, server: HttpServer) -> None:
    """It makes too many calls, or none, and would be tried for ever."""
    with calling(handler, server.url) as (stage, breaker):
        for _ in range(2):
            cut(stage, 0)
        assert len(stage.write(batch(0)).refusals) == 1
        assert breaker.snapshot().failed == 0


def test_another_owner_of_a_shard_counts_anew(make: Make, oracles: Oracles) -> None:
    """The record may have been handled in between."""
    oracles.answer = hang_at_one
    stage = make(on_error="refuse", timeout=0.3, settings=PATIENT)
    for _ in range(2):
        cut(stage, 1)
    with pytest.raises(SinkDown):
        stage.write(replace(batch(1), fences={PLACE: 8}))


def test_an_output_that_is_not_declared_is_the_handlers_failure(make: Make) -> None:
    """As of any other handler."""

    async def wrong(number: Number, oracle: Oracle) -> str:
        return "text"

    with pytest.raises(RecordFailed, match="the handler returned str"):
        make(wrong).write(batch(0))


def test_a_system_that_cannot_be_asked_as_declared_ends_the_worker(make: Make, oracles: Oracles) -> None:
    """No record is to blame."""

    async def wrong(_: int) -> int:
        raise SinkError("no such service")

    oracles.answer = wrong
    with pytest.raises(SinkError, match="no such service"):
        make(on_error="refuse").write(batch(0))


def test_connections_are_let_go_of(make: Make, oracles: Oracles) -> None:
    """Those of the systems, and the thread."""
    stage = make()
    stage.write(batch(0))
    stage.close()
    assert oracles.is_closed

"""Requests and answers of a transaction that are lost, late, or cut off, so that nobody knows the end.

The famous case (Jepsen's report on Bufstream, KIP-890): a request to end a transaction is late, the client
ends the transaction by another one, and the late one reaches the broker when the next transaction of the same
producer has begun. Nothing in the protocol that librdkafka speaks tells the two apart.

The first tests drive the writer alone; each shows that its fault happened. The last ones hurt whole workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from threading import enumerate as enumerate_threads

import pytest
from confluent_kafka import KafkaError

from holdfast.kafka.transaction import TransactionalWriter
from holdfast.kafka.unit_writer import Outcome
from holdfast.record import Output
from holdfast.runtime.unit_end import UnitEnd
from tests.conftest import TestCluster
from tests.support.application import FOLD, Application, Run
from tests.support.faults import committed_since
from tests.support.fold import assert_exactly_once
from tests.support.load import Load
from tests.support.proxy import Api, Fault, Proxy, Request, Rule
from tests.support.units import CALL_S, Units

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
Names = Callable[[str], str]
Make = Callable[..., Application]

REFUSED = (KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)
LATE = (Fault.CUT_AND_HOLD, Fault.HOLD_REQUEST)


def is_commit(request: Request) -> bool:
    """An EndTxn that commits."""
    return request.is_commit


def is_abort(request: Request) -> bool:
    """An EndTxn that aborts."""
    return not request.is_commit


TRIES = 5
"""On a busy machine the late commit may meet the end of the next transaction instead of its middle: the
coordinator says CONCURRENT_TRANSACTIONS, and it hurt nothing."""

OBEYED = 3
"""Late commits of a worker that make it certain, on a busy machine too, that one met the middle."""

REQUESTS = {
    "commit": (Api.END_TXN, is_commit),
    "abort": (Api.END_TXN, is_abort),
    "offsets": (Api.TXN_OFFSET_COMMIT, None),
    "offsets' partition": (Api.ADD_OFFSETS_TO_TXN, None),
    "partitions": (Api.ADD_PARTITIONS_TO_TXN, None),
    "records": (Api.PRODUCE, None),
}


class ReusingWriter(TransactionalWriter):
    """What the real one was once: it goes on with a client that got over a lost connection by itself."""

    def begin(self) -> None:
        """Open a transaction on the client that is there."""
        self._client.poll(0)
        self._lost.reason = ""
        super().begin()


class Hurt:
    """Units of which one was hurt.

    Attributes:
        units: the units.
        rule: what was done.
    """

    def __init__(self, name: str, servers: str, proxy: Proxy) -> None:
        self.units = Units(name, servers)
        self._proxy = proxy

    def run(self, what: str, fault: Fault, kind: type[TransactionalWriter] = TransactionalWriter) -> Rule:
        """Commit units, hurt a request of one, and go on until all is well again."""
        units, (api, only) = self.units, REQUESTS[what]
        writer = units.writer(self._proxy.bootstrap_servers, kind)
        try:
            units.run(writer, units.at + 2)
            rule = self._proxy.hurt(fault, api, units.name, only=only, at_most=15.0)
            units.run(writer, units.at + 6)
        finally:
            writer.close()
        assert rule.happened.is_set(), "nothing was hurt"
        assert rule.done.wait(15.0), f"{rule}: not done"
        return rule


@pytest.fixture
def hurt(proxied: TestCluster, proxy: Proxy, unique_name: Names) -> Iterator[Hurt]:
    """Give units of the test's own."""
    hurt = Hurt(unique_name("units"), proxied.bootstrap_servers, proxy)
    yield hurt
    hurt.units.close()


@pytest.mark.parametrize("what", REQUESTS)
def test_a_request_that_comes_late_in_the_next_transaction_changes_nothing(hurt: Hurt, what: str) -> None:
    """The connection broke, the client asked again and got its answer; then the first request arrives."""
    rule = hurt.run(what, Fault.CUT_AND_HOLD)
    assert rule.released_by == "next transaction"
    if rule.api is Api.END_TXN:
        assert rule.answer_error in REFUSED
    assert hurt.units.problems() == []


def given_up(
    units: Units,
    writer: TransactionalWriter,
    member: object,
    rules: Sequence[Rule],
    *,
    patience: float = 60.0,
    wait: float | None = None,
) -> None:
    """Send the open unit 2, some of whose requests are hurt, and see it given up."""
    writer.send([Output(f"{units.name}.out", b"given up", b"key", 0, [])])
    ending = UnitEnd(writer, {units.place: 2}, member, patience).take(wait)
    assert all(rule.happened.is_set() for rule in rules), "nothing was hurt"
    assert ending is not None, "it waits for the answer"
    assert ending.outcome is Outcome.GIVEN_UP, ending.reason


def test_a_unit_that_lost_a_connection_is_given_up_before_its_records_are_taken(
    hurt: Hurt, proxy: Proxy
) -> None:
    """It is done again anyway: to wait until a partition has a leader first would only take longer."""
    units = hurt.units
    writer = units.writer(proxy.bootstrap_servers, TransactionalWriter, call_s=30.0)
    try:
        units.run(writer, 1)
        with units.group() as member:
            writer.begin()
            lost = proxy.hurt(Fault.CUT_BEFORE, Api.PRODUCE, units.name)
            held = proxy.hurt(Fault.HOLD_REQUEST, Api.PRODUCE, units.name)
            given_up(units, writer, member, [lost], wait=20.0)
            writer.reopen()
            proxy.release(held)
            units.run(writer, 2)
    finally:
        writer.close()
    assert units.committed() == 2
    assert units.problems() == []


def test_a_unit_whose_time_is_over_is_not_committed_later(hurt: Hurt, proxy: Proxy) -> None:
    """Its records take long. It is done again by then, and would be there twice."""
    units = hurt.units
    writer = units.writer(proxy.bootstrap_servers, TransactionalWriter)
    try:
        units.run(writer, 1)
        with units.group() as member:
            writer.begin()
            held = proxy.hurt(Fault.HOLD_REQUEST, Api.PRODUCE, units.name)
            given_up(units, writer, member, [held], patience=CALL_S / 4)
            proxy.release(held)
            for thread in enumerate_threads():
                if thread.name == "commit":
                    thread.join(30)
                    assert not thread.is_alive()
    finally:
        writer.close()
    assert units.committed() == 1
    assert units.problems() == []


def test_offsets_without_an_answer_are_asked_for_anew_and_then_waited_for_longer(
    hurt: Hurt, proxy: Proxy
) -> None:
    """Another client may find another coordinator. A cluster that is slow is given more time."""
    units = hurt.units
    writer = units.writer(proxy.bootstrap_servers, TransactionalWriter, call_s=30.0)
    waits: list[float] = []
    try:
        units.run(writer, 1)
        with units.group() as member:
            for _ in range(2):
                writer.begin()
                hurting = proxy.hurt(Fault.HOLD_REQUEST, Api.TXN_OFFSET_COMMIT, units.name, at_most=60.0)
                began = time.monotonic()
                given_up(units, writer, member, [hurting])
                waits.append(time.monotonic() - began)
                writer.reopen()
                proxy.release(hurting)
        units.run(writer, 2)
    finally:
        writer.close()
    assert 3.0 <= waits[0] < 6.0, waits
    assert waits[1] >= 6.0, waits
    assert units.committed() == 2
    assert units.problems() == []


@pytest.mark.parametrize("what", ["commit", "offsets"])
def test_a_writer_that_goes_on_with_its_client_is_found_out(hurt: Hurt, what: str) -> None:
    """The test of the tests here: without the writer's care the late request is obeyed, and it shows."""
    for _ in range(TRIES):
        rule = hurt.run(what, Fault.CUT_AND_HOLD, ReusingWriter)
        assert rule.released_by == "next transaction"
        if hurt.units.problems():
            return
    pytest.fail(f"{TRIES} late requests hurt nothing")


@pytest.mark.chaos
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("what", REQUESTS)
def test_every_request_hurt_in_every_way(hurt: Hurt, what: str, fault: Fault) -> None:
    """Whatever happens to one request, every unit is there once, whole, in order, and so is the position."""
    rule = hurt.run(what, fault)
    if rule.api is Api.END_TXN and fault in LATE:
        assert rule.answer_error in REFUSED
    assert hurt.units.problems() == []


# -- whole workers

WORKER_REQUESTS = {
    **{what: request for what, request in REQUESTS.items() if what != "abort"},
    "take over": (Api.INIT_PRODUCER_ID, None),
    "heartbeat": (Api.HEARTBEAT, None),
    "committed offsets": (Api.OFFSET_FETCH, None),
}
ON_A_NEW_CLIENT = ("take over", "committed offsets")
"""Requests that a worker sends only when something else went wrong."""

BROKEN = f"""
from holdfast.kafka.transaction import TransactionalWriter

def begin(self, usual=TransactionalWriter.begin):
    self._client.poll(0)
    self._lost.reason = ""
    usual(self)

TransactionalWriter.begin = begin
{FOLD}"""
"""A handler module that makes the worker's writer the `ReusingWriter`."""


def hurt_worker(run: Run, proxy: Proxy, what: str, fault: Fault, at_most: float = 6.0) -> Rule:
    """Do something to a worker's request, and wait until the worker works again."""
    client = run.application.slot_id("slot-0")
    api, only = WORKER_REQUESTS[what]
    rule = proxy.hurt(fault, api, client, only=only, at_most=at_most)
    if what in ON_A_NEW_CLIENT:
        # A commit whose answer never comes: a new client, and every shard is restored.
        proxy.hurt(Fault.DROP_ANSWER, Api.END_TXN, client)
    run.until(rule.done.is_set, 45, str(rule))
    committed_since(run, run.views[0].records + 50)
    return rule


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.CUT_BEFORE, marks=pytest.mark.slow),
        pytest.param(Fault.CUT_AFTER, marks=pytest.mark.slow),
        Fault.CUT_AND_HOLD,
    ],
)
def test_a_worker_whose_connections_break_counts_every_record_once(
    application: Make, proxy: Proxy, fault: Fault
) -> None:
    """One request after the other, under load; the worker gets over each by itself."""
    app = application(session_timeout="10s")  # it must not be taken for gone when the machine stands still
    app.worker_servers = proxy.bootstrap_servers
    with app.run() as run:
        run.until_running()
        with Load(app, rate=400):
            for what in WORKER_REQUESTS:
                if what not in ON_A_NEW_CLIENT:
                    hurt_worker(run, proxy, what, fault)
        run.until_drained()
        assert run.views[0].restarts == 0
    assert assert_exactly_once(app) > 0


def test_a_worker_that_goes_on_with_its_client_is_found_out(application: Make, proxy: Proxy) -> None:
    """The test of the test above: the late commit tears a transaction, and the fold shows it."""
    app = application(handler=BROKEN)
    app.worker_servers = proxy.bootstrap_servers
    with app.run() as run:
        run.until_running()
        with Load(app, rate=400):
            answers: list[int | None] = []
            # One that is obeyed at the end of the next transaction, when all of it is there, hurts nothing.
            while answers.count(0) < OBEYED and len(answers) < OBEYED * TRIES:
                answers.append(hurt_worker(run, proxy, "commit", Fault.CUT_AND_HOLD).answer_error)
        run.until_drained()
    assert 0 in answers
    with pytest.raises(AssertionError, match=r"applied twice|where the fold gives"):
        assert_exactly_once(app)


@pytest.mark.chaos
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("what", WORKER_REQUESTS)
def test_every_request_of_a_worker_hurt_in_every_way(
    application: Make, proxy: Proxy, what: str, fault: Fault
) -> None:
    """With the timeouts that workers have."""
    app = application()
    app.worker_servers = proxy.bootstrap_servers
    with app.run() as run:
        run.until_running()
        with Load(app, rate=400):
            rule = hurt_worker(run, proxy, what, fault, at_most=20.0)
        run.until_drained()
        assert run.views[0].restarts == 0
    if rule.api is Api.END_TXN and fault in LATE:
        assert rule.answer_error in REFUSED
    assert assert_exactly_once(app) > 0

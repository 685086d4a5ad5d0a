"""What `holdfast run` tells of its workers beside their states: each event once each time."""

from __future__ import annotations

import pytest

from holdfast.cli.run_news import News
from holdfast.cli.words import sentence
from holdfast.runtime.status import WorkerStatus
from holdfast.runtime.supervisor import WorkerSpec, WorkerState, WorkerView

WELL = WorkerStatus(shards={"running": 3})


def view(name: str, slot: str = "vm-0", status: WorkerStatus = WELL) -> WorkerView:
    """A worker as the supervisor sees it."""
    return WorkerView(WorkerSpec(name, slot, lambda _: ()), WorkerState.RUNNING, 1, status)


def down(why: str = "Connection refused") -> WorkerStatus:
    """A report of a worker whose sink is away."""
    return WorkerStatus(shards={"running": 3}, waits_for="db", why=f"sink 'db': {why}")


REFUSED = "waits: sink 'db': Connection refused. Its records stay in their topics"


def test_each_processor_of_a_sink_tells_its_own_outage() -> None:
    """Only the first one did, as the words are the same."""
    ledger, audit = view("ledger", status=down()), view("audit", status=down())
    assert News().of([ledger, audit]) == [("ledger", REFUSED), ("audit", REFUSED)]


def test_each_outage_is_told_once() -> None:
    """Whatever the sink says in its course, and in the same words as the one before."""
    worker, news = view("ledger"), News()
    told = []
    for status in (down(), down("starting up"), WELL, down(), down()):
        worker.status = status
        told.append([message for _, message in news.of([worker])])
    assert told == [[REFUSED], [], [], [REFUSED], []]


def test_the_workers_of_a_processor_share_an_outage() -> None:
    """It lasts until none of them waits any more."""
    one, other, news = view("ledger", "vm-0", down()), view("ledger", "vm-1", down("starting up")), News()
    assert news.of([one, other]) == [("ledger", REFUSED)]
    one.status = WELL
    assert news.of([one, other]) == []


def test_each_end_of_a_worker_is_told() -> None:
    """With its slot where the processor has several."""
    one, other, news = view("audit", "vm-0"), view("audit", "vm-1"), News()
    for ends in (1, 2):
        one.ends, one.error = ends, "killed by SIGKILL"
        assert news.of([one, other]) == [("audit vm-0", "killed by SIGKILL")]
        assert news.of([one, other]) == []


def test_what_keeps_all_workers_from_coming_up_is_told_once() -> None:
    """A module that cannot be imported, say: each is started again and again."""
    one, other, news = view("audit", "vm-0"), view("audit", "vm-1"), News()
    one.error = "no module named shop"
    assert news.of([one, other]) == [("audit", "no module named shop")]
    other.error, one.restarts = one.error, 1
    assert news.of([one, other]) == []


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("Connection refused", "Connection refused."),
        ("no broker in the local cluster..", "no broker in the local cluster."),
        ("accepting TCP/IP connections?", "accepting TCP/IP connections?"),
        ("connections?. ", "connections?"),
    ],
)
def test_a_sentence_has_one_mark_at_its_end(text: str, ended: str) -> None:
    """What systems say ends as they like."""
    assert sentence(text) == ended

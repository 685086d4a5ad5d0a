"""A replay and workers at the same time: positions and tables belong to one of the two, never to both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from holdfast.errors import ReplayRefused
from holdfast.kafka import moves
from holdfast.kafka.groups import GroupAdmin, partitions_of
from holdfast.kafka.moves import LOOKS_APART_S, Move, Mover
from holdfast.kafka.rewind import Rewind, replay_id, rewind
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.standing import standing
from holdfast.record import Message, TopicPartition
from tests.support.application import PARTITIONS, Application, Run
from tests.support.events import Added
from tests.support.proxy import Api, Fault, Proxy, Request
from tests.support.versions import table

pytestmark = pytest.mark.integration

RECORDS = 100


@pytest.fixture
def app(application: Callable[..., Application]) -> Application:
    """Give an application that has handled its records; nobody is in its group any more."""
    made = application()
    work(made, RECORDS)
    return made


def work(app: Application, records: int) -> None:
    """Publish records, handle them, and wait until the worker's session has ended."""
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(records)))
    with app.run() as run:
        run.until_drained()
    with GroupAdmin(app.servers) as admin:
        deadline = time.monotonic() + 20
        while admin.describe(app.group).members:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def planned(app: Application) -> Rewind:
    """A muted replay from the beginning, planned from what is there now."""
    places = partitions_of([app.names.topic("adds")], PARTITIONS)
    stands = standing(app.group, places, app.servers, {})
    muted = {place: offset for place, offset in stands.positions.items() if offset}
    changelogs = tuple(TopicPartition(app.changelog, n) for n in range(PARTITIONS))
    move = Move(
        app.group,
        stands.committed,
        dict.fromkeys(places, 0),
        {place: stands.note(place, muted.get(place)) for place in places},
    )
    return Rewind(move, changelogs, RECORDS)


class Meddler(LogScanner):
    """Lets something happen once, when the positions are in the transaction and the tables are to be read."""

    def __init__(self, servers: str, happen: Callable[[], None]) -> None:
        super().__init__(servers)
        self._happen: Callable[[], None] | None = happen

    def topic(self, name: str, only: Callable[[TopicPartition], bool] | None = None) -> Iterator[Message]:
        """As ever, after what happens."""
        happen, self._happen = self._happen, None
        if happen is not None:
            happen()
        return super().topic(name, only)


def test_a_worker_that_starts_during_a_replay_waits_for_its_end(app: Application) -> None:
    """Then it replays: the table is the same, and no output is written twice."""
    before = table(app)
    run = Run(app, app.specs())
    seen: list[int] = []

    def start() -> None:
        run.supervisor.start()
        run.until(lambda: run.views[0].status.shards.get("restoring") == PARTITIONS, 30, "the shards")
        run.let_run(2.0)
        seen.append(run.running())

    try:
        assert rewind(planned(app), app.servers, {}, Meddler(app.servers, start)) == 17
        assert seen == [0]
        run.until_drained()
        run.until(lambda: run.views[0].records == RECORDS, 10, "the last report")
    finally:
        run.stop()
    assert table(app) == before
    assert len(app.read("sums")) == RECORDS


def test_a_worker_that_came_before_is_seen(app: Application) -> None:
    """It has its positions already: the replay gives way, and the worker goes on."""
    before, stood, todo = table(app), app.committed(), planned(app)
    with app.run() as run:
        run.until_running()
        with pytest.raises(ReplayRefused, match=r"workers are in the group.*slot-0"):
            rewind(todo, app.servers, {}, LogScanner(app.servers))
        app.publish(Added(key="more", n=1))
        run.until_drained()
    assert (len(table(app)), table(app).items() >= before.items()) == (18, True)
    assert sum(app.committed().values()) == sum(stood.values()) + 1


def test_a_worker_that_came_and_went_has_left_a_trace(app: Application) -> None:
    """A plan that was made before it is not carried out."""
    todo = planned(app)
    work(app, 50)
    before, stood = table(app), app.committed()
    with pytest.raises(ReplayRefused, match="worked meanwhile"):
        rewind(todo, app.servers, {}, LogScanner(app.servers))
    assert (table(app), app.committed()) == (before, stood)


def test_brokers_that_fail_in_the_middle_leave_all_as_it_was(app: Application) -> None:
    """Deletions that were sent already are aborted, and readers do not see them."""
    before, stood = table(app), app.committed()

    class Failing(LogScanner):
        calls = 0

        def topic(self, name: str, only: Callable[[TopicPartition], bool] | None = None) -> Iterator[Message]:
            self.calls += 1
            if self.calls == 3:
                raise ReplayRefused("the third partition cannot be read")
            return super().topic(name, only)

    with pytest.raises(ReplayRefused, match="third partition"):
        rewind(planned(app), app.servers, {}, Failing(app.servers))
    assert (table(app), app.committed()) == (before, stood)
    assert rewind(planned(app), app.servers, {}, LogScanner(app.servers)) == 17
    assert table(app) == {}


class Slow:
    """Has the first attempt take too long, by the clock that it looks at."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        """What `time` calls it."""
        return time.monotonic() + self._ahead

    def after(self, look: Callable[..., None]) -> Callable[..., None]:
        """A look at positions that is as ever, but the first at those of an open transaction takes long."""

        def looked(mover: Mover, move: Move, isolation: str) -> None:
            look(mover, move, isolation)
            if isolation == "read_uncommitted" and not self._ahead:
                self._ahead = LOOKS_APART_S

        return looked


def is_abort(request: Request) -> bool:
    """An EndTxn that aborts."""
    return not request.is_commit


@pytest.mark.parametrize("what", ["abort", "offsets"])
def test_what_an_attempt_left_on_the_way_does_not_tear_the_next_one(
    app: Application, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Brokers were slow, and a connection broke: the late request meets a half written transaction."""
    slow = Slow()
    monkeypatch.setattr(moves, "time", slow)
    monkeypatch.setattr(Mover, "_require_unmoved", slow.after(Mover._require_unmoved))
    api, only = (Api.END_TXN, is_abort) if what == "abort" else (Api.TXN_OFFSET_COMMIT, None)
    rule = proxy.hurt(Fault.CUT_AND_HOLD, api, replay_id(app.group), only=only, at_most=15.0)
    assert rewind(planned(app), proxy.bootstrap_servers, {}, LogScanner(app.servers)) == 17
    if what == "offsets":
        assert rule.happened.is_set()
        assert rule.done.wait(15.0)
    assert table(app) == {}
    assert set(app.committed().values()) == {0}

"""A leader's term against brokers that refuse, fence and forget; its tasks run on real threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from holdfast import Event, Leadership
from holdfast.engine.leader_log import History, LogRecord, fold
from holdfast.engine.leader_plan import TaskPlan, plan_task
from holdfast.errors import BrokersUnreachable, ClusterError, Fenced, OutputRefused
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.record import Output, TopicPartition
from holdfast.runtime import term as term_module
from holdfast.runtime.leader_view import Candidates
from holdfast.runtime.task_runs import TaskRuns
from holdfast.runtime.term import CandidateIdentity, NotOurTurn, Term, TermPorts
from holdfast.topology.model import LeaderTaskDecl, TopicDecl
from holdfast.topology.resolved import ResolvedLeaderTask, ResolvedTopic

PLACE = TopicPartition("shop.leader", 0)
ME = CandidateIdentity("a-0", "a", 1, PLACE.topic)
TAKEN_OVER = [Outcome.COMMITTED, Outcome.COMMITTED]
"""The empty transaction and the claim."""
OURS = Candidates(settled=True, slots=("a-0", "b-0"), owner="a-0")


class Ticked(Event):
    """Something happened."""

    n: int


TICKS = ResolvedTopic(
    TopicDecl.model_validate({"<name>": "ticks", "events": ["m:Ticked"], "partitions": 1}), (Ticked,)
)


def tasks(**functions: Callable[..., Any]) -> dict[str, TaskPlan]:
    """Hourly tasks."""
    return {
        name: plan_task(
            ResolvedLeaderTask(
                LeaderTaskDecl.model_validate({"<name>": name, "task": "m:f", "every": "1h"}),
                function,
                (TICKS,),
            ),
            "shop",
        )
        for name, function in functions.items()
    }


class Brokers:
    """The leader's topic and its writers; each transaction is ended as `endings` say, else committed.

    Attributes:
        log: what was committed, with its standing.
        endings: how the next transactions end, in order.
        opened: how many writers were made.
    """

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.outputs: list[Output] = []
        self.transactions: list[tuple[int, bool]] = []
        self.endings: list[Outcome] = []
        self.candidates: list[Candidates | Exception] = []
        self.opened = self.closed = self.fenced = 0
        self.is_taken = self.untimely = False
        self.hang: threading.Event | None = None
        self.taking = threading.Event()
        self.coordinator: threading.Event | None = None
        self.unless: Callable[[], bool] = bool

    # -- a writer, of which there is one at a time here

    def begin(self) -> None:
        """Open a transaction; waits for the takeover, as the real one does."""
        if self.coordinator is not None:
            self.taking.set()
            while not self.coordinator.wait(0.005):
                if self.unless():
                    raise ClusterError("taking over was given up")
            self.fenced += 1
        self._open: tuple[list[Output], list[bytes]] = ([], [])

    def send(self, outputs: Any, changelog: Any = ()) -> None:
        """Take records."""
        self._open[0].extend(outputs)
        self._open[1].extend(value for part in changelog for _, value in part.rows)

    def stop_waiting(self, *, is_late: bool = False) -> Ending | None:  # noqa: ARG002
        """Never."""
        return None

    def finish(self, _: Mapping[TopicPartition, int], group_metadata: Any) -> Ending:
        """End the transaction as the test says."""
        assert group_metadata == "standing"
        if self.hang is not None:
            self.hang.wait(30)
        outcome = self.endings.pop(0) if self.endings else Outcome.COMMITTED
        if outcome is not Outcome.COMMITTED:
            refused = OutputRefused("ticks", "too far", "wait", is_time=True) if self.untimely else None
            return Ending(outcome, "as the test says", refused=refused)
        outputs, rows = self._open
        self.outputs += outputs
        self.log += rows
        self.is_taken = True
        self.transactions.append((len(outputs), bool(rows)))
        return Ending(outcome, changelog_ends={PLACE: 2 * len(self.log)} if rows else {})

    def close(self) -> None:
        """Count it."""
        self.closed += 1

    # -- the ports

    def writer(self, unless: Callable[[], bool]) -> Any:
        """Take over the transactional id."""
        self.unless = unless
        self.opened += 1
        self.is_taken = False
        return self

    def ask(self) -> Candidates:
        """Tell who is in the group."""
        answer = self.candidates.pop(0) if self.candidates else OURS
        if isinstance(answer, Exception):
            raise answer
        return answer

    def history(self) -> History:
        """Read the leader's topic: a marker of a transaction before each record."""
        assert self.is_taken, "another leader may still write"
        return fold(LogRecord(2 * n + 1, value) for n, value in enumerate(self.log))


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    """Give brokers, before which nobody has to pause."""
    monkeypatch.setattr(term_module, "_PAUSE_S", 0.001)
    return Brokers()


@pytest.fixture
def led(brokers: Brokers) -> Iterator[Callable[..., Term]]:
    """Give a function that starts a term; what still runs is ended after the test."""
    runs, made = TaskRuns(), []

    def start(clock: Callable[[], float] = time.time, **functions: Callable[..., Any]) -> Term:
        ports = TermPorts(brokers.ask, brokers.writer, brokers.history, lambda: "standing", clock)
        made.append(Term(tasks(**functions), ME, ports, runs))
        made[-1].start()
        return made[-1]

    yield start
    for term in made:
        term.end()
        term.join(5)
        assert term.is_over


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def nothing() -> None:
    """Do nothing."""


def test_an_election_is_a_claim_and_its_token_the_time_of_day(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """Tasks run under it, and their runs are in the same transaction as what they write."""
    term = led(clock=lambda: 1_000.5, tick=lambda: Ticked(n=1))
    until(lambda: term.runs_ended)
    assert term.token == 1_000_500
    assert term.is_held
    assert brokers.transactions == [(0, False), (0, True), (1, True)]
    run = brokers.history().runs["tick"]
    assert (run.token, run.outputs, run.error, run.runs) == (1_000_500, 1, None, 1)


def test_the_next_leader_has_a_larger_token_and_does_not_repeat_the_run(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """It reads what the one before has done."""
    first = led(clock=lambda: 1_000.0, tick=nothing)
    until(lambda: first.runs_ended)
    first.end()
    first.join(5)
    # This clock is behind.
    second = led(clock=lambda: 990.0, tick=nothing)
    until(lambda: second.token)
    assert (first.token, second.token) == (1_000_000, 1_000_001)
    time.sleep(0.05)
    assert second.runs_ended == 0
    assert len(brokers.transactions) == 5


def test_a_candidate_whose_turn_has_passed_fences_nobody(brokers: Brokers, led: Callable[..., Term]) -> None:
    """It asks before it takes the transactional id, and waits while the group is choosing."""
    choosing = Candidates(settled=False, slots=("a-0",), owner=None)
    brokers.candidates = [choosing, choosing, Candidates(True, ("a-0", "b-0"), "b-0")]
    term = led(tick=nothing)
    until(lambda: term.is_over)
    assert isinstance(term.failure, NotOurTurn)
    assert "says that b-0 has it" in str(term.failure)
    assert brokers.opened == 0


def test_a_term_that_is_ended_while_it_takes_the_id_over_fences_nobody(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """It was frozen meanwhile, say: another leader was elected, and is not to lose its term for that."""
    brokers.coordinator = threading.Event()
    term = led(tick=nothing)
    assert brokers.taking.wait(10)
    term.end()
    until(lambda: term.is_over)
    brokers.coordinator.set()
    assert (brokers.opened, brokers.closed, brokers.fenced) == (1, 1, 0)
    assert (term.token, term.failure) == (None, None)


def test_a_refused_transaction_is_tried_again_without_running_the_task_again(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """The group's generation changes whenever a candidate comes or goes."""
    calls: list[int] = []
    brokers.endings = [Outcome.ABORTED, *TAKEN_OVER, Outcome.ABORTED, Outcome.ABORTED]
    term = led(tick=lambda: calls.append(1))
    until(lambda: term.runs_ended)
    assert len(calls) == 1
    assert term.failure is None


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(Outcome.FENCED, Fenced), (Outcome.UNKNOWN, ClusterError), (Outcome.GIVEN_UP, ClusterError)],
)
def test_a_term_ends_when_it_is_fenced_or_when_nobody_knows(
    brokers: Brokers, led: Callable[..., Term], outcome: Outcome, kind: type[Exception]
) -> None:
    """The client is not used again; the next term reads what became of the run."""
    brokers.endings = [*TAKEN_OVER, outcome]
    term = led(tick=lambda: Ticked(n=1))
    until(lambda: term.is_over)
    assert type(term.failure) is kind
    assert not term.is_held
    assert brokers.closed == 1
    assert brokers.outputs == []


def test_outputs_that_the_brokers_refuse_fail_the_run_and_not_the_leader(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """Else one task would keep all others from running."""
    brokers.endings = [*TAKEN_OVER, Outcome.REFUSED]
    term = led(tick=lambda: Ticked(n=1))
    until(lambda: term.runs_ended)
    run = brokers.history().runs["tick"]
    assert str(run.error).startswith("its outputs were refused: as the test says")
    assert (run.outputs, brokers.outputs, term.failing) == (0, [], ("tick",))
    assert not term.is_over


def test_a_run_whose_outputs_are_refused_for_their_time_is_not_recorded(
    brokers: Brokers, led: Callable[..., Term], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is wrong: the next leader would find its own times done. This one waits for its next time."""
    monkeypatch.setattr(term_module, "TICK_S", 0.01)
    brokers.endings, brokers.untimely = [*TAKEN_OVER, Outcome.REFUSED], True
    calls: list[int] = []

    def tick() -> Ticked:
        calls.append(1)
        return Ticked(n=1)

    term = led(tick=tick)
    until(lambda: term.failing)
    time.sleep(0.05)
    assert (len(calls), term.runs_ended, brokers.history().runs) == (1, 0, {})
    assert not term.is_over


def test_a_leader_whose_clock_is_behind_goes_on_by_it_and_says_so(
    brokers: Brokers, led: Callable[..., Term], caplog: pytest.LogCaptureFixture
) -> None:
    """Once in its log, with who ran the task and what to do; and among what it tells of itself."""
    now = time.time()
    go = threading.Event()
    first = led(clock=lambda: now + 86_400, tick=nothing)
    until(lambda: first.runs_ended)
    first.end()
    first.join(5)
    second = led(clock=lambda: now, tick=lambda: go.wait(10) and None)
    until(lambda: second.ahead)
    assert second.ahead == ("tick",)
    go.set()
    until(lambda: second.runs_ended)
    until(lambda: not second.ahead)
    said = [it.getMessage() for it in caplog.records if "ahead of this clock" in it.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("leader task tick: its last run is recorded for")
    assert "1 day, 0:00:00 ahead" in said[0]


def test_a_group_that_does_not_settle_is_not_taken_for_refused_outputs(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """The run was good: the next term does it again, and drops nothing in silence."""
    brokers.endings = [*TAKEN_OVER, *[Outcome.ABORTED] * term_module.ATTEMPTS]
    term = led(tick=lambda: Ticked(n=1))
    until(lambda: term.is_over)
    assert f"refused {term_module.ATTEMPTS} times (as the test says)" in str(term.failure)
    assert "tick" not in brokers.history().runs


def test_brokers_that_do_not_answer_end_the_term_with_the_reason(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """The candidate begins another."""
    brokers.candidates = [BrokersUnreachable("nobody there")]
    term = led(tick=nothing)
    until(lambda: term.is_over)
    assert str(term.failure) == "nobody there"


def test_a_commit_that_never_returns_ends_the_term(
    brokers: Brokers, led: Callable[..., Term], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's timeouts do not always hold; the group would take such a leader for a healthy one."""
    monkeypatch.setattr(term_module, "PATIENCE_S", 0.2)
    answer = threading.Event()
    brokers.hang = answer
    term = led(tick=nothing)
    try:
        until(lambda: term.is_over)
        assert "no answer within" in str(term.failure)
        assert brokers.closed == 1
    finally:
        answer.set()


def test_what_a_task_returns_after_the_term_was_ended_is_dropped(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """The task can see it coming, and its successor in the same process does not start it a second time."""
    go, held = threading.Event(), []

    def slow(leadership: Leadership) -> Ticked:
        held.append(leadership.held)
        go.wait(10)
        held.append(leadership.held)
        return Ticked(n=leadership.token)

    first = led(slow=slow)
    until(lambda: held)
    first.end()
    first.join(5)
    second = led(slow=slow)
    until(lambda: second.token)
    time.sleep(0.05)
    assert held == [True]
    go.set()
    until(lambda: second.runs_ended)
    assert held == [True, False, True, True]
    assert [output.value for output in brokers.outputs] == [b'{"n":%d}' % (second.token or 0)]


def test_a_term_that_is_drained_writes_what_runs_and_starts_nothing(
    brokers: Brokers, led: Callable[..., Term]
) -> None:
    """For a stop in good order."""
    go, started = threading.Event(), threading.Event()

    def slow() -> Ticked:
        started.set()
        go.wait(10)
        return Ticked(n=1)

    now = [time.time()]
    term = led(clock=lambda: now[0], slow=slow)
    assert started.wait(10)
    term.drain()
    now[0] += 3 * 3600
    time.sleep(0.05)
    assert not term.is_over
    go.set()
    until(lambda: term.is_over)
    assert (term.runs_ended, term.failure, len(brokers.outputs)) == (1, None, 1)


def test_no_task_starts_before_the_brokers_have_confirmed_the_leader(
    brokers: Brokers, led: Callable[..., Term], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was frozen wakes with a task due; an empty transaction tells it that it does not."""
    monkeypatch.setattr(term_module, "CONFIRMED_S", 0.0)
    monkeypatch.setattr(term_module, "TICK_S", 0.01)
    calls: list[int] = []
    now = [time.time()]
    term = led(clock=lambda: now[0], tick=lambda: calls.append(1))
    until(lambda: term.runs_ended)
    assert brokers.transactions == [(0, False), (0, True), (0, False), (0, True)]
    brokers.endings = [Outcome.FENCED]
    now[0] += 3600
    until(lambda: term.is_over)
    assert len(calls) == 1
    assert isinstance(term.failure, Fenced)

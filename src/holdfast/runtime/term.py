"""One term of a leader: from the election, over runs of tasks, to its end.

It has a thread of its own, so that the group's consumer is polled whatever the brokers or a task take. Only
this thread uses the producer; tasks run on threads of theirs and hand over what they want to write.

    ask the coordinator   is it really this candidate's turn?
    take over             an empty transaction under the one transactional id: whoever led before is fenced
    read                  the leader's topic, which nobody else can write to any more
    claim                 a record in a transaction, with a token above all that the topic holds
    lead                  confirm, start what is due, write what was returned, until the end

Each transaction carries the group's generation as well. So a member that the group has moved past is
refused even if nobody was elected after it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdfast.engine.agenda import Agenda, Due
from holdfast.engine.leader_log import Claim, History, Run, row_of, utc
from holdfast.engine.leader_plan import TaskPlan
from holdfast.engine.leader_task import Leadership
from holdfast.errors import ClusterError, Fenced, HoldfastError, WorkerError
from holdfast.kafka.unit_writer import ChangelogRows, Outcome, UnitWriter
from holdfast.record import Output, TopicPartition
from holdfast.runtime.leader_view import Candidates
from holdfast.runtime.task_runs import Clock, Result, TaskRuns
from holdfast.runtime.unit_end import PATIENCE_S, UnitEnd

log = logging.getLogger(__name__)

CONFIRMED_S = 1.0
"""How long a commit proves the leadership: later, an empty transaction asks again before a task starts."""

TICK_S = 1.0
"""The longest wait between two looks at the clock, which may be set."""

ATTEMPTS = 5
"""How often a transaction is tried that the brokers refuse; candidates that come or go cost one or two."""

_UNTIMELY = (
    " (a record has the time that its run is for: either this machine's clock is wrong, or the topic's "
    "message.timestamp.after.max.ms or .before.max.ms does not allow for it)"
)
_PAUSE_S = 0.1
_ASK_S = 0.1
_SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class TermPorts:
    """What a term needs from outside. The first three may block, at most some ten seconds.

    Attributes:
        candidates: asks who is in the candidates' group.
        open_writer: takes over the transactional id, unless the function that it is given says that nobody
            wants it any more; that may be asked on another thread.
        history: reads the leader's topic.
        group_metadata: the member's standing in the group, just now.
        clock: seconds since the epoch.
    """

    candidates: Callable[[], Candidates]
    open_writer: Callable[[Callable[[], bool]], UnitWriter]
    history: Callable[[], History]
    group_metadata: Callable[[], Any]
    clock: Clock = time.time


@dataclass(frozen=True, slots=True)
class CandidateIdentity:
    """Who a candidate is.

    Attributes:
        slot: its slot.
        host: the machine's name.
        pid: its process.
        topic: the leader's topic.
    """

    slot: str
    host: str
    pid: int
    topic: str


class _Over(Exception):
    """The term was ended from outside."""


class NotOurTurn(ClusterError):
    """The group gave the leadership to somebody else, and we have not heard of it yet."""


class _Refused(ClusterError):
    """The brokers do not take a record as it is, whoever leads.

    Attributes:
        untimely: whether for its time: then a leader with another clock may do better.
    """

    def __init__(self, reason: str, *, untimely: bool) -> None:
        super().__init__(f"{reason}{_UNTIMELY if untimely else ''}")
        self.untimely = untimely


class Term:
    """Leads until it is ended, drained, fenced, or the brokers fail it.

    `start`, `end`, `drain` and `join` are called by the candidate; the attributes may be read by it.

    Args:
        plans: the application's tasks.
        identity: who leads.
        ports: brokers and clock.
        runs: starts tasks; shared by all terms of this process.

    Attributes:
        token: the fencing token; None before the election.
        runs_ended: runs that were recorded.
        commits: transactions.
        failing: tasks whose last run failed.
        ahead: tasks whose last run lies in the future of this machine's clock.
        failure: why it ended by itself; None if it did not.
    """

    def __init__(
        self, plans: Mapping[str, TaskPlan], identity: CandidateIdentity, ports: TermPorts, runs: TaskRuns
    ) -> None:
        self._plans = plans
        self._identity = identity
        self._ports = ports
        self._runs = runs
        self._place = TopicPartition(identity.topic, 0)
        self._results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._draining = False
        self._started: set[str] = set()
        self._position = 0
        self._confirmed = 0.0
        self._writer: UnitWriter
        self._agenda: Agenda
        self._claim: Claim
        self._thread = threading.Thread(target=self._run, name="term", daemon=True)
        self.token: int | None = None
        self.runs_ended = 0
        self.commits = 0
        self.failing: tuple[str, ...] = ()
        self.ahead: tuple[str, ...] = ()
        self.failure: HoldfastError | None = None

    # -- called by the candidate

    def start(self) -> None:
        """Begin, with the election."""
        self._thread.start()

    def end(self) -> None:
        """Start nothing and write nothing any more; a commit under way is not called back."""
        self._ended.set()
        self._results.put(None)

    def drain(self) -> None:
        """Start nothing any more; end when what runs has been written."""
        self._draining = True
        self._results.put(None)

    def join(self, timeout: float) -> None:
        """Wait for its end, at most so many seconds."""
        self._thread.join(timeout)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, by itself or not."""
        return not self._thread.is_alive()

    @property
    def is_held(self) -> bool:
        """Whether it leads, as far as anybody here knows."""
        return self.token is not None and not self._ended.is_set()

    # -- its own thread

    def _run(self) -> None:
        try:
            self._await_turn()
            # A takeover takes a while when a coordinator loads. A term that was ended meanwhile would fence
            # the leader that was elected after it.
            self._writer = self._ports.open_writer(self._ended.is_set)
            try:
                self._elect()
                self._lead()
            finally:
                self._writer.close()
        except _Over:
            pass
        except HoldfastError as error:
            self.failure = error
        except Exception as error:
            log.exception("the term ends by a fault")
            self.failure = WorkerError(f"leading failed: {error!r}")
        finally:
            # Nobody holds it now: tasks that still run see so.
            self._ended.set()

    def _await_turn(self) -> None:
        """Return when the coordinator says that the partition is ours.

        Taking the transactional id fences whoever has it. A process that was frozen since it was given
        the partition would fence the leader that was elected meanwhile.

        Raises:
            _Over: the term was ended.
            NotOurTurn: the partition is somebody else's.
            ClusterError: the group does not settle, or the coordinator does not answer.
        """
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline:
            found = self._ports.candidates()
            if self._ended.is_set():
                raise _Over
            if found.settled:
                if found.owner == self._identity.slot:
                    return
                raise NotOurTurn(
                    f"{self._identity.topic}: this candidate was given the leadership, and the coordinator "
                    f"says that {found.owner or 'nobody'} has it"
                )
            self._ended.wait(_ASK_S)
        raise ClusterError(f"{self._identity.topic}: the group did not settle within {_SETTLE_S:.0f} s")

    def _elect(self) -> None:
        # A writer may take over the id only when it is used. From this commit on nobody else writes to the
        # topic: what is read after it is complete.
        self._commit([], None)
        history = self._ports.history()
        who, now = self._identity, utc(self._ports.clock())
        schedules = {name: plan.schedule.text for name, plan in self._plans.items()}
        token = history.next_token(now)
        claim = Claim(slot=who.slot, host=who.host, pid=who.pid, at=now, schedules=schedules, token=token)
        self._position = history.end
        self._commit([], row_of(claim))
        self._claim = claim
        self._agenda = Agenda({name: plan.schedule for name, plan in self._plans.items()}, history, claim)
        self.failing = self._agenda.failing
        self.token = token
        log.warning("elected: %s leads with token %d", who.slot, token)

    def _lead(self) -> None:
        while not self._ended.is_set():
            if self._draining:
                if not self._started:
                    return
            else:
                self._start_due()
            try:
                result = self._results.get(timeout=self._wait())
            except queue.Empty:
                continue
            if result is not None:
                self._record(result)

    def _wait(self) -> float:
        if self._draining:
            return TICK_S
        left = self._agenda.wait(utc(self._ports.clock()), self._busy)
        return TICK_S if left is None else min(left, TICK_S)

    @property
    def _busy(self) -> frozenset[str]:
        """Tasks that run, in an earlier term too, or whose result is not written yet."""
        return self._runs.running | self._started

    def _start_due(self) -> None:
        now = utc(self._ports.clock())
        self._tell_of_clocks(now)
        for due in list(self._agenda.due(now, self._busy)):
            self._confirm()
            self._start(due)

    def _tell_of_clocks(self, now: datetime) -> None:
        """Say which tasks are not run by the times that are recorded, once for each of them."""
        ahead = self._agenda.ahead(now)
        for task in ahead.keys() - set(self.ahead):
            log.warning("leader task %s: %s", task, ahead[task])
        self.ahead = tuple(ahead)

    def _start(self, due: Due) -> None:
        assert self.token is not None
        leadership = Leadership(
            token=self.token,
            slot=self._identity.slot,
            elected_at=self._claim.at,
            scheduled_at=due.at,
            missed=due.missed,
            _is_held=lambda: self.is_held,
        )
        self._started.add(due.task)
        self._runs.start(self._plans[due.task], leadership, self._results.put)

    def _confirm(self) -> None:
        """Have the brokers say that this is still the leader, unless they have just done so.

        It keeps a process that was frozen from starting a task when it wakes.
        """
        if time.monotonic() - self._confirmed > CONFIRMED_S:
            self._commit([], None)

    def _record(self, result: Result) -> None:
        """Write a run with its outputs, in one transaction."""
        run = self._run_of(result, result.error, len(result.outputs))
        try:
            self._commit(result.outputs, row_of(run))
        except _Refused as error:
            if not result.outputs:
                raise
            log.error("leader task %s: its outputs were refused: %s", result.task, error)
            run = self._run_of(result, f"its outputs were refused: {error}", 0)
            if error.untimely:
                # Not recorded: a leader with the right clock would find its own times done already.
                self._note(run)
                return
            self._commit([], row_of(run))
        self._note(run)
        self.runs_ended += 1

    def _note(self, run: Run) -> None:
        self._agenda.note(run)
        self._started.discard(run.task)
        self.failing = self._agenda.failing

    def _run_of(self, result: Result, error: str | None, outputs: int) -> Run:
        given = result.leadership
        return self._agenda.total(
            Run(
                task=result.task,
                token=given.token,
                scheduled_at=given.scheduled_at,
                started_at=utc(result.started),
                ended_at=utc(result.ended),
                missed=given.missed,
                outputs=outputs,
                error=error,
            )
        )

    def _commit(self, outputs: Sequence[Output], row: tuple[bytes, bytes] | None) -> None:
        """Write a transaction, again if the brokers refuse it.

        Raises:
            _Over: the term was ended.
            Fenced: another leader was elected.
            _Refused: the brokers do not take one of its records.
            ClusterError: nobody knows whether it was written, or the client is of no use any more, or the
                group did not settle in `ATTEMPTS` tries.
        """
        rows = [ChangelogRows(self._place, [row])] if row else []
        reason = ""
        for attempt in range(ATTEMPTS):
            if self._ended.is_set():
                raise _Over
            try:
                self._writer.begin()
            except ClusterError:
                if self._ended.is_set():
                    # It gave the takeover up for that.
                    raise _Over from None
                raise
            self._writer.send(outputs, rows)
            positions = {self._place: self._position}
            end = UnitEnd(self._writer, positions, self._ports.group_metadata(), PATIENCE_S)
            ending = end.take(wait=None)
            assert ending is not None
            if ending.outcome is Outcome.COMMITTED:
                self._confirmed = time.monotonic()
                self.commits += 1
                self._position = (ending.changelog_ends or {}).get(self._place, self._position)
                return
            reason = ending.reason
            if ending.outcome is Outcome.REFUSED:
                raise _Refused(reason, untimely=ending.refused is not None and ending.refused.is_time)
            if ending.outcome is Outcome.FENCED:
                raise Fenced(f"{self._identity.topic}: another leader was elected ({reason})")
            if ending.outcome is Outcome.UNKNOWN:
                raise ClusterError(f"{self._identity.topic}: a commit's end is not known ({reason})")
            if ending.outcome is Outcome.GIVEN_UP:
                # Not tried again: a new client would fence the next leader, if there is one.
                raise ClusterError(f"{self._identity.topic}: a commit was given up ({reason})")
            log.info("a transaction was refused: %s", reason)
            self._ended.wait(_PAUSE_S * 2**attempt)
        raise ClusterError(f"{self._identity.topic}: refused {ATTEMPTS} times ({reason})")

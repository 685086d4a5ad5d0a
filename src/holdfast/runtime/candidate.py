"""A candidate for the leadership of an application: a member of the candidates' group.

One loop polls the group and nothing else; who owns the one partition of the leader's topic leads. Each
leadership is a `Term` with a thread of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from holdfast.errors import Fenced, HoldfastError
from holdfast.kafka.consumer import OwnershipListener, ShardConsumer
from holdfast.runtime.status import LEADING, Reporter, WorkerStatus
from holdfast.runtime.term import NotOurTurn, Term

log = logging.getLogger(__name__)

Standing = Callable[[], Any]
"""The member's standing in the group, at most a turn old."""

POLL_S = 0.1
"""The longest wait for news of the group."""

STOP_S = 10.0
"""From a request to stop to the end, for tasks that run. What is not done then, the next leader does."""

REVOKE_S = 3.0
"""How long a leadership may take to end in good order when the group wants it back."""

LEAVE_S = 5.0
"""How long leaving the group may take: brokers that are away are not waited for any longer."""

FAILED_TERMS = 4
"""Terms that may fail in a row before the process ends with the reason; its supervisor starts it again."""

FENCED_TERMS = 3
"""Terms in a row that may be fenced while the group says that it is our turn."""

STEADY_S = 10.0
"""A term that lasted this long ends a row of failures."""

_PAUSE_S = 0.2


class Watch(Protocol):
    """Knows whether the leader's topic exists.

    Attributes:
        is_missing: whether it does not, as far as is known.
    """

    is_missing: bool

    def look(self) -> None:
        """Ask, or take the answer. Never waits."""


class Candidate(OwnershipListener):
    """Waits for its turn, and leads when it comes.

    Args:
        connect: makes the group's consumer, given the listener.
        new_term: makes a term, given how to ask for the member's standing; called when the one before
            has ended.
        reporter: told about progress.
        watch: looks after the leader's topic while this candidate does not lead.
        topic: the topic's name.
    """

    def __init__(
        self,
        connect: Callable[[OwnershipListener], ShardConsumer],
        new_term: Callable[[Standing], Term],
        reporter: Reporter,
        watch: Watch,
        topic: str,
    ) -> None:
        self._watch = watch
        self._topic = topic
        self._new_term = new_term
        self._reporter = reporter
        self._stopping = False
        self._is_owner = False
        self._term: Term | None = None
        self._began = 0.0
        self._next_term = 0.0
        self._failed = 0
        self._fenced = 0
        self._runs = 0
        self._commits = 0
        self._standing: Any = None
        # The listener is not called before the first fetch.
        self._consumer = connect(self)

    def observe(self) -> WorkerStatus:
        """How this candidate is at this moment."""
        term = self._term
        return WorkerStatus(
            records=self._runs + (term.runs_ended if term else 0),
            commits=self._commits + (term.commits if term else 0),
            role=self._role(term),
            why=self._why(term),
        )

    def _role(self, term: Term | None) -> str:
        if self._lacks_topic(term):
            return f"waiting for topic {self._topic}"
        if term is None or not term.is_held:
            return "being elected" if self._is_owner else "candidate"
        failing = f"; failing: {', '.join(term.failing)}" if term.failing else ""
        ahead = f"; clocks disagree: {', '.join(term.ahead)}" if term.ahead else ""
        return f"{LEADING} (token {term.token}){failing}{ahead}"

    def _why(self, term: Term | None) -> str:
        if not self._lacks_topic(term):
            return ""
        return (
            f"the topic {self._topic} does not exist, so nobody can be elected and no leader task runs; "
            "`holdfast apply` creates it"
        )

    def _lacks_topic(self, term: Term | None) -> bool:
        return self._watch.is_missing and not (term is not None and term.is_held)

    def stop(self) -> None:
        """Ask the loop to end; safe to call from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Be a candidate until `stop` is called; then end what runs and leave.

        Raises:
            Fenced: another process took this slot, or uses the application's transactional id.
            ClusterError: the brokers refuse this candidate for good, or terms failed in a row.
        """
        while not self._stopping:
            self._turn()
        if self._term is not None:
            self._term.drain()
        deadline = time.monotonic() + STOP_S
        while self._term is not None and time.monotonic() < deadline:
            self._turn()
        self._consumer.hand_over(LEAVE_S)
        self._consumer.close()

    def _turn(self) -> None:
        self._consumer.fetch(1, POLL_S)
        if self._is_owner:
            # Here, not where it is used: asked on another thread while this one polls, the client was
            # seen not to answer. An old standing is refused by the brokers, never taken for a new one.
            self._standing = self._consumer.group_metadata()
        self._tend()
        if self._term is None or not self._term.is_held:
            self._watch.look()
        self._reporter.report(self)

    def _tend(self) -> None:
        """Take the end of a term, and begin the next one if it is still our turn."""
        if self._term is not None and self._term.is_over:
            self._take(self._term)
        wanted = self._is_owner and not self._stopping
        if wanted and self._term is None and self._next_term <= time.monotonic():
            self._began = time.monotonic()
            self._term = self._new_term(lambda: self._standing)
            self._term.start()

    def _take(self, term: Term) -> None:
        self._term = None
        self._runs += term.runs_ended
        self._commits += term.commits
        if time.monotonic() - self._began > STEADY_S and term.token is not None:
            self._failed = self._fenced = 0
        if term.failure is not None:
            log.warning("the term has ended: %s", term.failure)
            if self._is_owner and not self._stopping:
                self._count(term.failure)

    def _count(self, failure: HoldfastError) -> None:
        """Count a term that failed though the group gave us the leadership.

        Raises:
            HoldfastError: it was one too many.
        """
        if isinstance(failure, NotOurTurn):
            # The news is on its way.
            self._next_term = time.monotonic() + _PAUSE_S
            return
        self._failed += 1
        self._fenced += isinstance(failure, Fenced)
        if self._fenced >= FENCED_TERMS:
            raise Fenced(
                f"the leader was fenced {self._fenced} times in a row though its group has no other: "
                f"another application uses the same name on these brokers ({failure})"
            )
        if self._failed >= FAILED_TERMS:
            raise failure
        self._next_term = time.monotonic() + _PAUSE_S * 2**self._failed

    # -- ownership; called inside a fetch

    def assigned(self, partitions: list[int]) -> None:
        """It is our turn; the term begins after this call."""
        if partitions:
            self._is_owner = True
            self._next_term = 0.0

    def revoked(self, partitions: list[int]) -> None:
        """The leadership goes to another candidate when this returns."""
        if partitions:
            self._is_owner = False
            if self._term is not None:
                self._term.end()
                self._term.join(REVOKE_S)

    def lost(self, partitions: list[int]) -> None:
        """Another candidate may lead already."""
        if partitions:
            log.warning("the leadership was lost while this candidate was away")
            self._is_owner = False
            if self._term is not None:
                self._term.end()

"""A candidate between its group and its terms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.errors import ClusterError, Fenced, HoldfastError
from holdfast.runtime import candidate as candidate_module
from holdfast.runtime.candidate import FAILED_TERMS, FENCED_TERMS, Candidate
from holdfast.runtime.status import Reported
from holdfast.runtime.term import NotOurTurn


class FakeTerm:
    """A term that ends when the test says so."""

    def __init__(self) -> None:
        self.is_over = self.is_held = self.was_ended = self.was_drained = False
        self.token: int | None = None
        self.runs_ended = self.commits = 0
        self.failing: tuple[str, ...] = ()
        self.ahead: tuple[str, ...] = ()
        self.failure: HoldfastError | None = None

    def start(self) -> None:
        """Lead at once."""
        self.token, self.is_held = 7, True

    def end(self) -> None:
        """Be ended from outside."""
        self.was_ended = self.is_over = True
        self.is_held = False

    def drain(self) -> None:
        """Be asked to end."""
        self.was_drained = self.is_over = True

    def join(self, timeout: float) -> None:
        """It ends at once."""

    def fail(self, error: HoldfastError) -> None:
        """End by itself."""
        self.failure, self.is_over, self.is_held = error, True, False


class Group:
    """A group whose news are given one by one, inside a fetch."""

    def __init__(self) -> None:
        self.news: list[tuple[str, list[int]]] = []
        self.terms: list[FakeTerm] = []
        self.left = self.closed = False
        self.is_missing = False
        self.looks = 0
        self.candidate = Candidate(self._join, self._term, self, self, "shop.leader")
        self.ends: Any = lambda: None

    def _join(self, listener: Any) -> Any:
        self._listener = listener
        return self

    def _term(self, standing: Any) -> Any:
        assert standing() == "standing"
        self.terms.append(FakeTerm())
        return self.terms[-1]

    def fetch(self, *_: object) -> None:
        """Tell what is new."""
        while self.news:
            kind, partitions = self.news.pop(0)
            getattr(self._listener, kind)(partitions)

    def look(self) -> None:
        """Look whether the topic exists."""
        self.looks += 1

    def group_metadata(self) -> str:
        """What a commit is fenced with."""
        return "standing"

    def hand_over(self, timeout: float) -> None:
        """The group takes back what it gave."""
        assert timeout > candidate_module.REVOKE_S
        self.left = True
        self._listener.revoked([0])

    def close(self) -> None:
        """The end."""
        self.closed = True

    def report(self, worker: Reported) -> None:
        """Nobody looks."""

    def turn(self, *news: tuple[str, list[int]]) -> str:
        """Let it take news; return its role."""
        self.news += news
        self.candidate._turn()
        return self.candidate.observe().role


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    """Give a group with one candidate that never pauses."""
    monkeypatch.setattr(candidate_module, "_PAUSE_S", 0.0)
    return Group()


def test_the_owner_of_the_partition_leads_and_nobody_else(group: Group) -> None:
    """A rebalance that gives nothing changes nothing."""
    assert group.turn() == "candidate"
    assert group.turn(("assigned", [])) == "candidate"
    assert group.turn(("assigned", [0])) == "leading (token 7)"
    assert group.turn(("assigned", [])) == "leading (token 7)"
    assert len(group.terms) == 1


def test_a_candidate_says_that_the_topic_is_gone(group: Group) -> None:
    """Without it nobody is elected, and the group does not tell. A leader need not look."""
    group.is_missing = True
    assert group.turn() == "waiting for topic shop.leader"
    assert "`holdfast apply` creates it" in group.candidate.observe().why
    group.is_missing = False
    assert (group.turn(), group.candidate.observe().why) == ("candidate", "")
    looks = group.looks
    group.turn(("assigned", [0]))
    group.turn()
    assert (group.turn(), group.looks) == ("leading (token 7)", looks)


@pytest.mark.parametrize("how", ["revoked", "lost"])
def test_a_leader_that_is_none_any_more_is_a_candidate_again(group: Group, how: str) -> None:
    """And may lead a second time."""
    group.turn(("assigned", [0]))
    assert group.turn((how, [0])) == "candidate"
    assert group.terms[0].was_ended
    group.turn()
    assert len(group.terms) == 1
    assert group.turn(("assigned", [0])) == "leading (token 7)"
    assert len(group.terms) == 2


def test_a_new_term_waits_for_the_end_of_the_one_before(group: Group) -> None:
    """Two of them would fence each other."""
    group.turn(("assigned", [0]))
    first = group.terms[0]
    first.end = lambda: setattr(first, "was_ended", True)  # type: ignore[method-assign]
    group.turn(("lost", [0]), ("assigned", [0]))
    group.turn()
    assert len(group.terms) == 1
    first.is_over = True
    group.turn()
    assert len(group.terms) == 2


def test_a_term_that_fails_is_followed_by_another_until_it_is_one_too_many(group: Group) -> None:
    """Then the process ends, and its supervisor starts it again after a pause."""
    group.turn(("assigned", [0]))
    for number in range(1, FAILED_TERMS):
        group.terms[-1].fail(ClusterError("brokers away"))
        group.turn()
        assert len(group.terms) == number + 1
    group.terms[-1].fail(ClusterError("brokers away"))
    with pytest.raises(ClusterError, match="brokers away"):
        group.turn()


def test_a_leader_that_is_fenced_again_and_again_has_a_rival(group: Group) -> None:
    """Another application of the same name: the message says so."""
    group.turn(("assigned", [0]))
    for _ in range(1, FENCED_TERMS):
        group.terms[-1].fail(Fenced("fenced"))
        group.turn()
    group.terms[-1].fail(Fenced("fenced"))
    with pytest.raises(Fenced, match="another application uses the same name"):
        group.turn()


def test_a_term_that_lasted_ends_a_row_of_failures(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fence a day is no rival."""
    now = [1000.0]
    monkeypatch.setattr(candidate_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    group.turn(("assigned", [0]))
    for _ in range(3 * FENCED_TERMS):
        now[0] += candidate_module.STEADY_S + 1
        group.terms[-1].fail(Fenced("fenced"))
        group.turn()


def test_a_failure_after_the_leadership_went_elsewhere_is_nobodys(group: Group) -> None:
    """A leader that was frozen is refused, and is told only then that it was lost."""
    for _ in range(2 * FENCED_TERMS):
        group.turn(("assigned", [0]))
        group.terms[-1].fail(Fenced("fenced"))
        assert group.turn(("lost", [0])) == "candidate"


def test_a_candidate_whose_turn_has_passed_waits_for_the_news(group: Group) -> None:
    """However long they take: it is no failure of its own."""
    group.turn(("assigned", [0]))
    for _ in range(3 * FAILED_TERMS):
        group.terms[-1].fail(NotOurTurn("b-0 has it"))
        group.turn()
        group.turn()
    assert group.turn(("lost", [0])) == "candidate"


def test_a_stop_lets_the_term_end_before_it_leaves(group: Group) -> None:
    """And leaves for good, so that another candidate is elected at once."""
    group.turn(("assigned", [0]))
    group.terms[0].runs_ended = 3
    group.candidate.stop()
    group.candidate.run()
    assert group.terms[0].was_drained
    assert group.left
    assert group.closed
    assert group.candidate.observe().records == 3

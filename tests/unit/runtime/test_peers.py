"""Who else works: what a worker may take for certain when it stops."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from holdfast.kafka.members import Member
from holdfast.runtime import peers as module
from holdfast.runtime.peers import Peers
from tests.unit.runtime.kit import MemoryReader, MemoryTopics


@pytest.fixture
def topics() -> MemoryTopics:
    """Give a group with this worker in it."""
    topics = MemoryTopics()
    topics.members = [member("me")]
    return topics


def member(name: str) -> Member:
    """A member that calls itself `name`."""
    return Member(f"{name}-1", name, "localhost", name, ())


def ask(peers: Peers, topics: MemoryTopics) -> None:
    """Ask, and take the answer."""
    reader = MemoryReader(topics)
    peers.look(reader)  # type: ignore[arg-type]
    peers.look(reader)  # type: ignore[arg-type]


def test_nothing_is_known_before_it_was_asked(topics: MemoryTopics) -> None:
    """The brokers said so after the last rebalance, or it is not known."""
    began = time.monotonic()
    peers = Peers("group", "me", 4, 5.0)
    assert peers.has_others(began) is None
    ask(peers, topics)
    assert peers.has_others(began) is False


def test_what_was_heard_before_a_rebalance_counts_for_nothing(
    topics: MemoryTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody came or went in it."""
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    peers = Peers("group", "me", 4, 5.0)
    ask(peers, topics)
    rebalanced = time.monotonic()
    assert peers.has_others(rebalanced) is None
    ask(peers, topics)
    assert peers.has_others(rebalanced) is False


def test_others_are_there_while_the_group_names_them(
    topics: MemoryTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long ago the rebalance was."""
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    topics.members.append(member("another"))
    peers = Peers("group", "me", 4, 5.0)
    ask(peers, topics)
    assert peers.has_others(0.0) is True
    topics.members.pop()
    ask(peers, topics)
    assert peers.has_others(0.0) is False


def test_a_question_whose_answer_is_lost_is_asked_again(
    topics: MemoryTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is replaced takes what was asked with it: nobody would ever know of orphans again."""
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    peers = Peers("group", "me", 4, 0.0)
    reader = MemoryReader(topics)
    lost = SimpleNamespace(is_answered=False)
    monkeypatch.setattr(reader, "ask_group", lambda *_: lost)
    peers.look(reader)  # type: ignore[arg-type]
    peers.look(reader)  # type: ignore[arg-type]
    ask(peers, topics)
    assert peers.owners == {"me": frozenset()}


def test_owners_that_have_not_changed_are_the_same_value(
    topics: MemoryTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is computed from them, with every turn of the restore, is kept by it."""
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    peers = Peers("group", "me", 4, 5.0)
    ask(peers, topics)
    before = peers.owners
    ask(peers, topics)
    assert peers.owners is before
    topics.members.append(member("other"))
    ask(peers, topics)
    assert set(peers.owners) == {"me", "other"} == set(peers.seen)

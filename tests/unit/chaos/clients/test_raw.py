"""What a client of the workload `raw` says of a transaction whose end went wrong."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from holdfast.chaos.clients import raw
from holdfast.chaos.clients.raw import RawClient, RawSettings, UnknownError
from holdfast.chaos.history import Bounds, Recorder, seal
from holdfast.chaos.history.database import Database

ABORTABLE = KafkaException(KafkaError(KafkaError._STATE, "abort it", False, False, True))
GONE = KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))


class Producer:
    """A producer whose calls fail as they are told to."""

    failing: dict[str, KafkaException]
    """What a call raises, by its name."""

    def __init__(self, _config: object) -> None:
        """Of whatever brokers."""

    def _call(self, name: str) -> None:
        if name in self.failing:
            raise self.failing[name]

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce(self, *_: object, on_delivery: Callable[..., None], **__: object) -> None:
        self._call("produce")
        on_delivery(None, Delivered())

    def poll(self, _timeout: float) -> None:
        """Nothing waits."""

    def commit_transaction(self, _timeout: float) -> None:
        self._call("commit")

    def abort_transaction(self, _timeout: float) -> None:
        self._call("abort")


class Delivered:
    """What the brokers say of a record."""

    def offset(self) -> int:
        return 5


class Consumer:
    """A consumer that is given nothing."""

    def __init__(self, _config: object) -> None:
        """Of whatever brokers."""

    def assign(self, _places: object) -> None:
        """Taken."""


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that lets a transaction's calls fail, and tells what the history says of it."""
    monkeypatch.setattr(raw, "Producer", Producer)
    monkeypatch.setattr(raw, "Consumer", Consumer)
    # Nothing but sends, and no abort by choice.
    monkeypatch.setattr(raw, "READ_SHARE", 0.0)
    monkeypatch.setattr(raw, "ABORT_SHARE", 0.0)
    monkeypatch.setattr(raw, "MOVE_SHARE", 0.0)

    def told(**failing: KafkaException) -> tuple[str, set[int | None]]:
        Producer.failing = failing
        settings = RawSettings("b:1", "logs", 2, "worker-0", "p", 0, 100.0, 1, str(tmp_path))
        with Recorder(tmp_path / "recordings") as recorder:
            client = RawClient(settings, recorder, "p", random.Random(1), itertools.count())
            with contextlib.suppress(UnknownError):
                client.step()
        with Database(Bounds()) as database:
            seal(tmp_path / "recordings", tmp_path / "history").attach(database)
            [(found,)] = database.rows("SELECT outcome FROM operations WHERE action = 'txn'")
            offsets = {offset for (offset,) in database.rows('SELECT "offset" FROM steps')}
        return found, offsets

    return told


def test_a_commit_that_is_answered_happened(outcome: Any) -> None:
    assert outcome() == ("ok", {5})


def test_without_a_commit_it_has_failed_for_certain(outcome: Any) -> None:
    """Whatever becomes of the abort: nobody ever asked to commit it."""
    assert outcome(produce=ABORTABLE, abort=GONE)[0] == "fail"


def test_an_abort_that_succeeds_shows_that_a_commit_was_not_taken(outcome: Any) -> None:
    assert outcome(commit=ABORTABLE)[0] == "fail"


def test_a_commit_that_was_tried_and_an_abort_that_failed_leave_it_unknown(outcome: Any) -> None:
    """The coordinator may have taken the commit: a reader of it would be a false alarm otherwise."""
    assert outcome(commit=ABORTABLE, abort=GONE) == ("unknown", {5})


def test_a_commit_without_an_answer_is_unknown(outcome: Any) -> None:
    assert outcome(commit=GONE)[0] == "unknown"

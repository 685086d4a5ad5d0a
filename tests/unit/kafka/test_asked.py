"""A question to the brokers that somebody else may give up."""

from __future__ import annotations

import pytest

from holdfast.kafka import transaction
from holdfast.kafka.transaction import _Asked, _GivenUp


def test_what_was_given_up_has_no_answer() -> None:
    """Whoever asked must not go on with what comes after: it would commit what is done again meanwhile."""
    asked = _Asked()
    with pytest.raises(_GivenUp), asked:
        assert asked.give_up()


def test_what_was_answered_cannot_be_given_up() -> None:
    """The commit that follows may be on its way."""
    asked = _Asked()
    assert not asked.give_up()
    with asked:
        pass
    assert not asked.give_up()
    with asked:
        pass


def test_only_what_takes_long_is_for_giving_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of the block nobody waits."""
    monkeypatch.setattr(transaction, "_OFFSETS_S", -1.0)
    asked = _Asked()
    assert not asked.is_long_ago
    with asked:
        assert asked.is_long_ago
    assert not asked.is_long_ago

"""A question to the brokers that nobody waits for any longer."""

from __future__ import annotations

import pytest

from holdfast.kafka.transaction import _Asked, _Unawaited


def test_what_nobody_waits_for_has_no_answer() -> None:
    """Whoever asked must not go on with what comes after: it would commit what is done again meanwhile."""
    asked = _Asked()
    with pytest.raises(_Unawaited), asked:
        assert asked.stop_waiting()


def test_what_was_answered_counts() -> None:
    """The commit that follows may be on its way."""
    asked = _Asked()
    assert not asked.stop_waiting()
    with asked:
        pass
    assert not asked.stop_waiting()
    with asked:
        pass


def test_nobody_waits_outside_of_the_block() -> None:
    """However long ago the last question was."""
    asked = _Asked()
    assert asked.waited < 0
    with asked:
        assert asked.waited >= 0
    assert asked.waited < 0

"""A unit that nobody waits for any longer."""

from __future__ import annotations

import pytest

from holdfast.kafka.transaction import _Asked, _Unawaited


def test_a_unit_that_nobody_waits_for_is_not_committed() -> None:
    """Whatever it was asking for at that moment: it is done again meanwhile."""
    before, within, after = _Asked(), _Asked(), _Asked()
    assert before.stop_waiting()
    with before:
        pass
    with within:
        assert within.stop_waiting()
    with after:
        pass
    assert after.stop_waiting()
    for asked in (before, within, after):
        with pytest.raises(_Unawaited):
            asked.commit()


def test_a_unit_whose_commit_was_asked_for_counts() -> None:
    """The commit may be on its way."""
    asked = _Asked()
    with asked:
        pass
    asked.commit()
    assert not asked.stop_waiting()


def test_nobody_waits_for_offsets_outside_of_the_block() -> None:
    """However long ago the last question was."""
    asked = _Asked()
    assert asked.waited < 0
    with asked:
        assert asked.waited >= 0
    assert asked.waited < 0


def test_the_wait_for_a_commit_begins_when_it_is_asked_for() -> None:
    asked = _Asked()
    assert asked.waited_for_commit < 0
    asked.commit()
    assert asked.waited_for_commit >= 0

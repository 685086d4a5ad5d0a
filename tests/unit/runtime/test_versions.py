"""What a switch does: the front of the outputs, and what is noted beside the positions."""

from __future__ import annotations

import pytest

from holdfast.errors import ReplayRefused
from holdfast.kafka.positions import Committed, Note, Role
from holdfast.record import TopicPartition
from holdfast.runtime.versions import Side, SwitchStep, plan_switch, switch_notes, with_redriven

A0, A1 = TopicPartition("a", 0), TopicPartition("a", 1)


def side(name: str, first: Committed, second: Committed) -> Side:
    """A version that stands so in its two partitions."""
    return Side(name, {A0: first, A1: second})


OLD = side("v1", Committed(10, fence=50), Committed(20, fence=3, muted=25))
NEW = side("v2", Committed(10, fence=7, role=Role.SHADOW), Committed(21, fence=60, role=Role.SHADOW))


def test_the_front_is_where_the_outputs_of_the_live_version_end() -> None:
    """Its position, or the end of its own mute where that is further: there others have written them."""
    assert plan_switch(OLD, NEW) == (SwitchStep(A0, 10, 10, 10), SwitchStep(A1, 20, 21, 25))


def test_several_inputs_may_each_be_behind_their_fronts() -> None:
    """The worker has one wait for the other at its front."""
    b0 = TopicPartition("b", 0)
    old = Side("v1", {A0: Committed(10), b0: Committed(20)})
    behind = Side("v2", {A0: Committed(10, role=Role.SHADOW), b0: Committed(19, role=Role.SHADOW)})
    assert plan_switch(old, behind) == (SwitchStep(A0, 10, 10, 10), SwitchStep(b0, 20, 19, 20))


def test_the_notes_of_a_switch_and_of_the_way_back_keep_the_front() -> None:
    """Fencing tokens only grow, whichever version is live."""
    steps = plan_switch(OLD, NEW)
    retired, begins = switch_notes(steps, OLD, NEW, {"a": "id"})
    assert retired == {A0: Note("id", 50, None, Role.RETIRED), A1: Note("id", 3, 25, Role.RETIRED)}
    assert begins == {A0: Note("id", 50, 10, Role.LIVE), A1: Note("id", 60, 25, Role.LIVE)}
    # It has come to 23 of 25 when it is switched back.
    now = side("v2", Committed(12, fence=51), Committed(23, fence=61, muted=25))
    old = side("v1", Committed(10, fence=50, role=Role.RETIRED), Committed(20, 3, 25, Role.RETIRED))
    assert plan_switch(now, old) == (SwitchStep(A0, 12, 10, 12), SwitchStep(A1, 23, 20, 25))


@pytest.mark.parametrize(
    ("live", "target", "told"),
    [
        (OLD, side("v2", Committed(11), Committed(20)), r"v2 is ahead of v1 \(a\[0\] at 11, beyond 10\)"),
        (OLD, side("v2", Committed(10), Committed(None)), r"v2 has no position of its own in a\[1\]"),
        (side("v1", Committed(None), Committed(20)), NEW, r"v1 has no position of its own in a\[0\]"),
        (OLD, side("v2", Committed(10), Committed(2, role=Role.UNKNOWN)), "another tool has set"),
    ],
)
def test_what_would_lose_outputs_is_refused(live: Side, target: Side, told: str) -> None:
    """With the partitions."""
    with pytest.raises(ReplayRefused, match=told):
        plan_switch(live, target)


def test_a_version_that_takes_no_redriven_records_has_handled_what_the_other_has() -> None:
    """Their positions are moved as well; where nobody has one, nothing is to be moved."""
    r0, r1, r2 = (TopicPartition("app.redrive", number) for number in range(3))
    nobody = Committed(None, role=Role.UNKNOWN)
    live, target = with_redriven(
        OLD,
        NEW,
        (
            {r0: Committed(7), r1: nobody, r2: nobody},
            {r0: Committed(5, role=Role.SHADOW), r1: Committed(4, role=Role.SHADOW), r2: nobody},
        ),
    )
    steps = {it.place: it for it in plan_switch(live, target)}
    assert steps[r0] == SwitchStep(r0, 7, 5, 7)
    assert steps[r1] == SwitchStep(r1, 4, 4, 4)
    assert r2 not in steps


def test_a_version_that_has_left_redriven_records_out_too_early_is_refused() -> None:
    """The live one has not handled them yet."""
    r0 = TopicPartition("app.redrive", 0)
    sides = with_redriven(OLD, NEW, ({r0: Committed(7)}, {r0: Committed(8, role=Role.SHADOW)}))
    with pytest.raises(ReplayRefused, match=r"v2 is ahead of v1 \(app.redrive\[0\] at 8, beyond 7\)"):
        plan_switch(*sides)

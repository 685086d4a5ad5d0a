"""What a replay will do: which positions, and when it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import ReplayRefused
from holdfast.record import TopicPartition
from holdfast.runtime.replay import Known, ReplayPlan, Start, Step, parse_start, plan_into, plan_replay

A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)


def plan(text: str, known: dict[TopicPartition, Known], **options: Any) -> Any:
    """A plan of a processor with tables."""
    return plan_replay(parse_start(text), known, **{"has_tables": True, **options})


def test_starts_are_read() -> None:
    """A time without a zone is UTC, and no time is taken for a topic with an offset."""
    assert parse_start("beginning") == Start()
    assert parse_start("0:100,1:250") == Start(offsets={(None, 0): 100, (None, 1): 250})
    assert parse_start("my.topic-1:0:7") == Start(offsets={("my.topic-1", 0): 7})
    assert parse_start("1970-01-01T00:00:02") == Start(time=2000)
    assert parse_start("1970-01-01T01:00:02+01:00") == Start(time=2000)


@pytest.mark.parametrize("text", ["", "soon", "1", "0:1,", "0:-1", "0:1,0:2", "2026-13-01", "end"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    """With what can be."""
    with pytest.raises(ReplayRefused):
        parse_start(text)


def test_the_beginning_is_the_beginning_of_every_shard() -> None:
    """Those that the group never was in are left out."""
    found = plan("beginning", {A0: Known(0, 9, 5), A1: Known(0, 9, None)})
    assert (found.steps, found.shards, found.offsets) == ((Step(A0, 0, 5, 5),), (0,), 5)


def test_a_group_that_lost_its_positions_gets_them_in_every_shard() -> None:
    """What is there counts as handled: nobody knows better. Also where nothing is left to pass."""
    known = {A0: Known(0, 9, None), A1: Known(0, 0, None)}
    found = plan("beginning", known, has_lost_positions=True)
    assert found.steps == (Step(A0, 0, 9, 9), Step(A1, 0, 0, 0))
    assert found.shards == (0, 1)
    assert "nobody knows what was handled" in found.notes[0]
    kept = plan("0:5,1:0", known, has_lost_positions=True, keep_state=True)
    assert kept.steps == (Step(A0, 5, 9, 9), Step(A1, 0, 0, 0))


def test_a_shard_is_replayed_with_all_its_inputs() -> None:
    """Its state comes from all of them."""
    known = {A0: Known(0, 9, 5), B0: Known(0, 9, 7), A1: Known(0, 9, 5)}
    with pytest.raises(ReplayRefused, match=r"b\[0\] at 7"):
        plan("a:0:0", known)
    found = plan("a:0:0,b:0:0", known)
    assert [step.place for step in found.steps] == [A0, B0]
    kept = plan("a:0:0", known, keep_state=True)
    assert kept.steps == (Step(A0, 0, 5, 5), Step(B0, 7, 7, 7))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0:10", "ends at offset 9"),
        ("0:8", "would skip"),
        ("0:5", "nothing to replay"),
        ("0:3", "--keep-state"),
        ("7:0", "partitions 0 to 1"),
        ("x:0:0", "the inputs are a"),
    ],
)
def test_positions_that_would_be_wrong_are_refused(text: str, told: str) -> None:
    """Beyond the end, beyond the group, in the middle of a state, or nowhere."""
    with pytest.raises(ReplayRefused, match=told):
        plan(text, {A0: Known(0, 9, 5), A1: Known(0, 9, 5)})


def test_without_tables_any_start_is_good() -> None:
    """There is no state that it could be wrong for."""
    assert plan("0:3", {A0: Known(2, 9, 5)}, has_tables=False).offsets == 2


def test_with_several_inputs_an_offset_says_whose_it_is() -> None:
    """Else it would be a guess."""
    with pytest.raises(ReplayRefused, match="partition 0 of which input"):
        plan("0:0", {A0: Known(0, 9, 5), B0: Known(0, 9, 5)})


def test_what_is_no_longer_kept_is_told_and_state_made_anew_without_it_is_refused() -> None:
    """Unless that is meant."""
    known = {A0: Known(3, 9, 5)}
    for text in ("0:0", "beginning", "2001-01-01"):
        with pytest.raises(ReplayRefused, match="--incomplete"):
            plan(text, {A0: Known(3, 9, 5, at_time=3)})
    assert plan("0:0", known, incomplete=True).steps == (Step(A0, 3, 5, 5),)
    assert "starts there, not at 0" in plan("0:0", known, incomplete=True).notes[0]
    assert "its beginning now" in plan("beginning", known, incomplete=True).notes[0]


def test_a_replay_of_a_replay_stays_muted_as_far_as_the_first_one() -> None:
    """Outputs beyond the group's present position are there already."""
    assert plan("beginning", {A0: Known(0, 99, 5, muted=50)}).steps == (Step(A0, 0, 5, 50),)


def test_an_input_that_lost_its_last_records_is_muted_up_to_its_end() -> None:
    """What comes there later is new; and the other inputs would wait for it."""
    found = plan("beginning", {A0: Known(0, 480, 500)})
    assert found.steps == (Step(A0, 0, 500, 480),)
    assert "ends at offset 480, before 500" in found.notes[0]


def test_an_input_that_lost_records_is_no_matter_where_nobody_asked_for_it() -> None:
    """Its shard is not replayed. With the shard it is."""
    lost = {A0: Known(0, 9, 5), A1: Known(0, 300, 500)}
    assert plan("0:0", lost).steps == (Step(A0, 0, 5, 5),)
    with pytest.raises(ReplayRefused, match="ends at offset 300; it cannot start at 500"):
        plan("a:0:0", {A0: Known(0, 9, 5), B0: Known(0, 300, 500)}, has_tables=False)


def test_a_time_after_all_records_is_told_as_that() -> None:
    """A year too many is easily written."""
    with pytest.raises(ReplayRefused, match="every record is older than the time"):
        plan("2030-01-01", {A0: Known(0, 9, 5), A1: Known(0, 9, 5)})
    with pytest.raises(ReplayRefused, match="stands at or before"):
        plan("2030-01-01", {A0: Known(0, 9, 5, at_time=7), A1: Known(0, 9, 5)})


def into(text: str, known: dict[TopicPartition, Known], **options: Any) -> ReplayPlan:
    """Plan a replay into a new version."""
    return plan_into(parse_start(text), known, **{"has_tables": True, **options})


def test_a_new_version_begins_in_all_partitions() -> None:
    """Also where nothing was ever written; partitions that are not named begin where the live one stands."""
    known = {A0: Known(0, 9, 5), A1: Known(0, 0, 0)}
    assert into("beginning", known).steps == (Step(A0, 0, 5, 5), Step(A1, 0, 0, 0))
    assert into("1:0", known, has_tables=False).steps == (Step(A0, 5, 5, 5), Step(A1, 0, 0, 0))


def test_a_new_version_is_refused_what_would_give_wrong_tables_or_lost_outputs() -> None:
    """There are no tables that could be kept as they are."""
    for text, known, told in (
        ("0:3", {A0: Known(0, 9, 5)}, "beginning of all inputs"),
        ("beginning", {A0: Known(3, 9, 5)}, "--incomplete"),
        ("0:7", {A0: Known(0, 9, 5)}, "would skip records"),
        ("beginning", {A0: Known(0, 9, 5), A1: Known(0, 9, None)}, "has no position in a"),
    ):
        with pytest.raises(ReplayRefused, match=told) as refused:
            into(text, known)
        assert "--keep-state" not in str(refused.value)
    assert into("beginning", {A0: Known(3, 9, 5)}, incomplete=True).steps == (Step(A0, 3, 5, 5),)

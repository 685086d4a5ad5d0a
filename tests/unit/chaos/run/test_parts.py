"""Who had what when, and how the output went through faults."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.chaos.clients.output_watch import Interval
from holdfast.chaos.run import parts
from holdfast.chaos.run.observer import Looks
from holdfast.chaos.run.parts import NOBODY, Holders, Observation, asked_of, shards_of
from holdfast.chaos.run.recovery import Blow, recoveries
from holdfast.chaos.run.result import Span
from holdfast.chaos.workloads.groups import GroupPlan, TopicSize


def seen(*looks: tuple[float, dict[str, str]]) -> Holders:
    """Holders after some looks."""
    holders = Holders()
    for at, found in looks:
        holders.see(found, at)
    return holders


def test_an_interval_ends_where_somebody_else_is_seen() -> None:
    holders = seen((1.0, {"0": "a", "1": "a"}), (2.0, {"0": "a", "1": "b"}), (3.0, {"1": "b"}))
    assert holders.as_spans(1.0) == (
        Span("0", "a", 0.0, None),
        Span("1", "a", 0.0, 1.0),
        Span("1", "b", 1.0, None),
    )
    assert holders.holder("1") == "b"
    assert holders.holder("7") is None


def test_a_change_to_nobody_is_no_takeover() -> None:
    holders = seen((1.0, {"t/0": "a"}), (2.0, {"t/0": NOBODY}), (4.0, {"t/0": "b"}))
    assert holders.changed(1.5, 10.0) == 4.0
    assert holders.changed(4.0, 10.0) is None
    assert holders.changed(1.5, 3.0) is None


def test_a_fault_is_over_when_every_partition_is_fresh_again() -> None:
    [found] = recoveries(
        [Blow(0, 10.0)],
        gaps=[Interval(0, 9.9, 13.0), Interval(1, 10.5, 16.0), Interval(2, 1.0, 9.0)],
        stale=[Interval(0, 11.0, 13.0), Interval(1, 11.5, 16.5)],
        holders=[seen((1.0, {"0": "a"}), (13.5, {"0": "b"}))],
        end=60.0,
    )
    assert (found.detection, found.longest_gap, found.back_to_normal) == (3.5, 5.5, 6.5)


def test_a_fault_that_the_output_does_not_notice_takes_no_time() -> None:
    [found] = recoveries([Blow(0, 10.0)], [], [], [Holders()], end=60.0)
    assert (found.detection, found.longest_gap, found.back_to_normal) == (None, 0.0, 0.0)


def test_trouble_that_comes_back_after_a_pause_is_not_part_of_the_recovery() -> None:
    """Such as when the broker that was killed comes back and leads again; the longest gap tells of it."""
    [found] = recoveries(
        [Blow(0, 10.0)],
        gaps=[Interval(0, 10.0, 14.0), Interval(0, 21.0, 26.0)],
        stale=[Interval(0, 11.0, 14.0), Interval(0, 22.0, 26.0)],
        holders=[],
        end=60.0,
    )
    assert (found.longest_gap, found.back_to_normal) == (5.0, 4.0)


def test_short_pauses_between_troubles_do_not_end_them() -> None:
    [found] = recoveries(
        [Blow(0, 10.0)], [], [Interval(0, 11.0, 14.0), Interval(3, 14.5, 19.0)], [], end=60.0
    )
    assert found.back_to_normal == 9.0


def test_a_fault_whose_trouble_lasts_into_the_next_has_no_recovery() -> None:
    first, second = recoveries([Blow(0, 10.0), Blow(1, 30.0)], [], [Interval(0, 11.0, 35.0)], [], end=60.0)
    assert first.back_to_normal is None
    assert second.back_to_normal == 5.0


def test_silence_after_the_load_has_ended_is_nobodys() -> None:
    [found] = recoveries(
        [Blow(3, 10.0)],
        [Interval(0, 19.0, 90.0), Interval(1, 25.0, 90.0)],
        [Interval(0, 12.0, 13.0)],
        [],
        end=20.0,
    )
    assert (found.fault, found.longest_gap, found.back_to_normal) == (3, 1.0, 3.0)


def test_who_gets_back_what_nobody_had_meanwhile_has_not_taken_over() -> None:
    holders = seen((1.0, {"t/0": "a"}), (2.0, {"t/0": NOBODY}), (3.0, {"t/0": "a", "t/1": "b"}))
    assert holders.changed(1.5, 10.0) is None


def test_the_last_output_before_the_next_fault_is_no_part_of_its_gap() -> None:
    """A partition was seen last just before the second fault: all of its silence is the second one's."""
    first, second = recoveries([Blow(0, 10.0), Blow(1, 30.0)], [Interval(0, 29.8, 47.0)], [], [], end=60.0)
    assert round(first.longest_gap, 3) == 0.2
    assert round(second.longest_gap, 3) == 17.2


def test_what_followed_from_a_fault_is_not_known_if_the_next_one_came_at_once() -> None:
    first, second = recoveries([Blow(0, 10.0), Blow(1, 10.5)], [], [Interval(0, 12.0, 16.0)], [], end=60.0)
    assert first.back_to_normal is None
    assert second.back_to_normal == 5.5


def test_shards_of_several_groups_are_called_by_their_processors() -> None:
    """Candidates have a lead and no records: they are asked about, and not in the lag."""
    groups = (
        GroupPlan("a.saga", TopicSize("t", 2), (TopicSize("t", 2),), {"a.saga.worker-0": "worker-0"}, "saga"),
        GroupPlan("a.view", TopicSize("t", 1), (TopicSize("t", 1),), {}, "view"),
        GroupPlan("a.leader", TopicSize("a.leader", 1), (), {"a.leader.worker-0": "candidate-0"}, "leader"),
    )
    assert shards_of(groups) == ("saga 0", "saga 1", "view 0")
    looks = Looks(json.loads(json.dumps(asked_of("127.0.0.1:1", "t", groups))))
    names = [getattr(look, "func", look).__name__ for look in looks.all]
    assert names == ["leaders", "owners", "owners", "lag"]


def test_the_shards_of_the_only_group_are_their_numbers() -> None:
    groups = (GroupPlan("chaos.lab", TopicSize("t", 2), (TopicSize("t", 2),), {"x": "worker-0"}),)
    assert shards_of(groups) == ("0", "1")


def test_without_a_group_nothing_is_left_to_be_handled() -> None:
    assert Observation(asked_of("127.0.0.1:1", "t", ())).is_drained(since=1.0)
    busy = (GroupPlan("chaos.lab", TopicSize("t", 2), (TopicSize("t", 2),)),)
    assert not Observation(asked_of("127.0.0.1:1", "t", busy)).is_drained(since=1.0)


LAG = json.dumps({"lag": [7], "drained": False, "began": 1.0})


def observed(
    program: str, monkeypatch: pytest.MonkeyPatch, until: Callable[[Observation], bool]
) -> Observation:
    """What comes of an observer that is another program, when a condition holds."""
    monkeypatch.setattr(parts, "_OBSERVER", ("sh", "-c", program))
    deadline = time.monotonic() + 20
    with Observation(asked_of("127.0.0.1:1", "t", ())) as observation:
        while not until(observation):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    return observation


def test_a_mistake_of_the_observer_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mistake = json.dumps({"mistake": "KeyError(x)"})
    program = f"echo '{mistake}'; echo '{mistake}'; echo '{LAG}'; exec cat"
    found = observed(program, monkeypatch, lambda it: it.lag == (7,))
    assert list(found.mistakes) == ["KeyError(x)"]


def test_an_observer_that_ends_at_once_is_told_with_what_it_said_and_keeps_no_core_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PAUSE_S", 0.1)
    program = f"echo x >> {tmp_path}/starts; echo at line 7 >&2; echo No module named duckling >&2"
    began = time.monotonic()
    found = observed(program, monkeypatch, lambda it: bool(it.mistakes))
    starts, took = len((tmp_path / "starts").read_text().split()), time.monotonic() - began
    assert list(found.mistakes) == [
        f"it has ended {parts.VAIN_LIVES} times without a look: at line 7 | No module named duckling"
    ]
    assert parts.VAIN_LIVES <= starts <= took / 0.1 + 1


def test_one_that_is_ended_by_its_client_now_and_then_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PAUSE_S", 0.01)
    starts = tmp_path / "starts"
    program = f"""echo x >> {starts}; echo '{LAG}'; printf '{{"lag": ['"""
    most = 2 * parts.VAIN_LIVES
    found = observed(program, monkeypatch, lambda _: starts.exists() and len(starts.read_bytes()) > 2 * most)
    assert not found.mistakes


def test_a_look_that_cannot_be_understood_keeps_nobody_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    program = f"""echo '{{"lag": 5}}'; echo '{LAG}'; exec cat"""
    found = observed(program, monkeypatch, lambda it: it.lag == (7,))
    [mistake] = found.mistakes
    assert mistake.startswith("a look of it cannot be understood: TypeError(")

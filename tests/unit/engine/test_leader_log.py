"""The leader's topic: what its records add up to, and what is to be done then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from holdfast.engine.agenda import Agenda, since
from holdfast.engine.leader_log import (
    CLOCKS_APART,
    Claim,
    History,
    LogRecord,
    Run,
    fold,
    milliseconds,
    row_of,
)
from holdfast.engine.schedule import Cron, Every, Schedule

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SCHEDULES: dict[str, Schedule] = {"tick": Every(HOUR, "every 1h"), "nightly": Cron("0 3 * * *")}
TEXTS = {name: schedule.text for name, schedule in SCHEDULES.items()}


def claim(at: datetime = NOON, slot: str = "a-0", schedules: dict[str, str] | None = None) -> Claim:
    """An election."""
    known = TEXTS if schedules is None else schedules
    return Claim(slot=slot, host="a", pid=1, at=at, schedules=known)


def run(task: str, at: datetime, **fields: object) -> Run:
    """A run of a task."""
    return Run.model_validate(
        {"task": task, "token": 0, "scheduled_at": at, "started_at": at, "ended_at": at, **fields}
    )


def log(*written: Claim | Run | bytes | None) -> History:
    """The history of these records, at every second offset as behind transactions."""
    values = [row_of(it)[1] if isinstance(it, (Claim, Run)) else it for it in written]
    return fold(LogRecord(2 * index, value) for index, value in enumerate(values))


def test_the_last_claim_leads_and_tells_its_token() -> None:
    """Earlier ones are the history. Claims of the first version tell none: theirs is their offset."""
    history = log(claim(), claim(NOON + HOUR, "b-0").model_copy(update={"token": 1_000}))
    assert [it.token for it in history.elections] == [0, 1_000]
    assert history.end == 3


def test_tokens_grow_also_when_the_topic_was_made_anew() -> None:
    """By the time of day where nothing larger is recorded; a clock that is behind changes nothing then."""
    assert log().next_token(NOON) == milliseconds(NOON)
    assert log(claim()).next_token(NOON) == milliseconds(NOON)
    ahead = claim().model_copy(update={"token": milliseconds(NOON + HOUR)})
    assert log(ahead, claim()).next_token(NOON) == milliseconds(NOON + HOUR) + 1
    assert log(run("tick", NOON, token=milliseconds(NOON + HOUR))).next_token(NOON) == (
        milliseconds(NOON + HOUR) + 1
    )


def test_the_last_claim_leads_and_its_offset_is_the_token_in_the_first_version() -> None:
    """Earlier ones are the history."""
    history = log(claim(), run("tick", NOON), claim(NOON + HOUR, "b-0"))
    assert [(it.token, it.claim.slot) for it in history.elections] == [(0, "a-0"), (4, "b-0")]
    assert history.leader is not None
    assert history.leader.token == 4
    assert log().leader is None


def test_the_last_run_of_each_task_counts() -> None:
    """Whatever the topic has kept of those before."""
    history = log(claim(), run("tick", NOON), run("nightly", NOON), run("tick", NOON + HOUR, runs=2))
    assert history.runs["tick"].scheduled_at == NOON + HOUR
    assert history.runs["tick"].runs == 2
    assert set(history.runs) == {"tick", "nightly"}


def test_records_keep_their_keys_for_compaction() -> None:
    """The last run of a task replaces those before; no claim replaces another."""
    assert row_of(run("tick", NOON))[0] == row_of(run("tick", NOON + HOUR))[0] == b"run/tick"
    assert row_of(claim())[0] != row_of(claim())[0]


def test_what_nobody_can_read_is_counted_and_left_out() -> None:
    """A newer version may add kinds of records, and fields to those that are known."""
    newer = row_of(claim())[1].replace(b'"kind"', b'"mood":"good","kind"')
    history = log(newer, b'{"kind": "resignation"}', b"\xff", None, b"")
    assert len(history.elections) == 1
    assert history.unreadable == 4


def test_a_task_is_known_since_the_first_claim_that_names_its_schedule() -> None:
    """Without a break: a task that was taken out, or has another schedule now, begins anew."""
    history = log(claim(NOON), claim(NOON + HOUR))
    assert history.since == dict.fromkeys(TEXTS, NOON)
    history = log(claim(NOON), claim(NOON + HOUR, schedules={}), claim(NOON + 2 * HOUR))
    assert history.since == dict.fromkeys(TEXTS, NOON + 2 * HOUR)
    changed = {**TEXTS, "nightly": "0 4 * * * (UTC)"}
    assert since(log(claim(NOON)), claim(NOON + HOUR, schedules=changed)) == {
        "tick": NOON,
        "nightly": NOON + HOUR,
    }


def test_a_new_leader_does_not_repeat_what_the_one_before_has_done() -> None:
    """An interval goes on where it was."""
    history = log(claim(), run("tick", NOON))
    agenda = Agenda(SCHEDULES, history, claim(NOON + HOUR / 2, "b-0"))
    assert list(agenda.due(NOON + HOUR / 2, ())) == []
    assert agenda.wait(NOON + HOUR / 2, ()) == 1800.0
    assert list(agenda.due(NOON + HOUR, ())) == [("tick", NOON + HOUR, 0)]


def test_a_time_that_passed_while_nobody_led_is_run_by_the_next_leader() -> None:
    """Once; those before it are missed."""
    history = log(claim(), run("tick", NOON))
    agenda = Agenda(SCHEDULES, history, claim(NOON + 40 * HOUR, "b-0"))
    due = list(agenda.due(NOON + 40 * HOUR, ()))
    assert due == [("tick", NOON + 40 * HOUR, 39), ("nightly", NOON + 39 * HOUR, 1)]
    for task, at, missed in due:
        agenda.note(agenda.total(run(task, at, missed=missed)))
    assert list(agenda.due(NOON + 40 * HOUR, ())) == []


def test_a_task_that_runs_is_not_started_again_and_what_it_misses_is_counted() -> None:
    """No overlap, however long it takes."""
    agenda = Agenda(SCHEDULES, log(), claim())
    assert list(agenda.due(NOON, ())) == [("tick", NOON, 0)]
    assert list(agenda.due(NOON + 5 * HOUR, {"tick"})) == []
    assert agenda.wait(NOON, SCHEDULES) is None
    agenda.note(agenda.total(run("tick", NOON)))
    assert list(agenda.due(NOON + 5.5 * HOUR, ())) == [("tick", NOON + 5 * HOUR, 4)]


def test_a_failed_run_is_tried_again_at_its_next_time_and_counted() -> None:
    """It is a run like any other; counts go on from leader to leader."""
    agenda = Agenda(SCHEDULES, log(run("tick", NOON, error="no", failures=1), claim()), claim())
    assert agenda.failing == ("tick",)
    assert list(agenda.due(NOON + HOUR / 2, ())) == []
    total = agenda.total(run("tick", NOON + HOUR, missed=2))
    assert (total.runs, total.failures, total.missed_in_all) == (2, 1, 2)
    agenda.note(total)
    assert agenda.failing == ()


def test_a_leader_does_not_wait_for_times_that_a_wrong_clock_has_run() -> None:
    """An interval that is not run for a day is an outage. It goes on by its own clock, and says so."""
    wrong = claim(NOON + 24 * HOUR).model_copy(update={"token": 7})
    last = run("tick", NOON + 25 * HOUR, token=7)
    history = log(wrong, last, run("nightly", NOON + 15 * HOUR))
    agenda = Agenda(SCHEDULES, history, claim(NOON, "b-0"))
    assert agenda.wait(NOON, ()) == 0.0
    why = agenda.ahead(NOON)["tick"]
    assert why.startswith(
        "its last run is recorded for 2026-03-03 13:00:00 UTC, 1 day, 1:00:00 ahead of this clock "
        "(2026-03-02 12:00:00 UTC); a-0 on host a ran it, elected at 2026-03-03 12:00:00 UTC by its own clock"
    )
    assert "set both (NTP)" in why
    assert list(agenda.due(NOON, ())) == [("tick", NOON, 0)]
    agenda.note(agenda.total(run("tick", NOON)))
    assert set(agenda.ahead(NOON)) == {"nightly"}
    assert list(agenda.due(NOON + HOUR / 2, ())) == []
    assert list(agenda.due(NOON + HOUR, ())) == [("tick", NOON + HOUR, 0)]


def test_a_time_that_was_run_ahead_of_it_is_not_run_again_when_it_comes() -> None:
    """The night's job was run half a day early: that was wrong, and twice would be worse."""
    history = log(claim(NOON + 24 * HOUR), run("nightly", NOON + 15 * HOUR))
    agenda = Agenda({"nightly": SCHEDULES["nightly"]}, history, claim(NOON, "b-0"))
    assert list(agenda.due(NOON, ())) == []
    assert list(agenda.due(NOON + 15 * HOUR, ())) == []
    assert agenda.ahead(NOON + 15 * HOUR) == {}
    assert list(agenda.due(NOON + 39 * HOUR, ())) == [("nightly", NOON + 39 * HOUR, 0)]


def test_clocks_that_are_a_little_apart_are_waited_for() -> None:
    """Nothing runs twice, and nobody is told."""
    history = log(claim(), run("tick", NOON + CLOCKS_APART))
    agenda = Agenda(SCHEDULES, history, claim(NOON, "b-0"))
    assert agenda.ahead(NOON) == {}
    assert list(agenda.due(NOON, ())) == []


def test_a_task_that_was_declared_by_a_wrong_clock_is_declared_now() -> None:
    """Also for the leaders after the one that found it."""
    wrong, right = claim(NOON + 24 * HOUR), claim(NOON)
    assert since(log(wrong), right) == dict.fromkeys(TEXTS, NOON)
    assert log(wrong, right).since == dict.fromkeys(TEXTS, NOON)
    assert since(log(wrong, right), claim(NOON + HOUR)) == dict.fromkeys(TEXTS, NOON)


def test_a_clock_that_is_set_back_under_a_leader_stops_nothing() -> None:
    """It was elected by the wrong time itself, and ran by it."""
    agenda = Agenda(SCHEDULES, log(), claim(NOON + 24 * HOUR))
    agenda.note(agenda.total(run("tick", NOON + 24 * HOUR)))
    assert list(agenda.due(NOON, ())) == [("tick", NOON, 0)]
    agenda.note(agenda.total(run("tick", NOON)))
    assert list(agenda.due(NOON + 15 * HOUR, ())) == [
        ("tick", NOON + 15 * HOUR, 14),
        ("nightly", NOON + 15 * HOUR, 0),
    ]


def test_runs_of_a_task_that_is_no_longer_declared_are_nobodys_business() -> None:
    """They stay in the topic, and count again when the task comes back."""
    history = log(claim(), run("gone", NOON - 9 * HOUR, error="no"))
    assert Agenda(SCHEDULES, history, claim()).failing == ()

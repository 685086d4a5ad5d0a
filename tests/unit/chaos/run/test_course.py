"""What happens in a run, and when."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from holdfast.chaos.run import course as run_course
from holdfast.chaos.run.breaking import Broken
from holdfast.chaos.run.course import Course
from holdfast.chaos.run.settings import Untold

HEALING_S = 0.2
"""How long it takes here until all is steady after the last fault, while the load goes on."""


class Load:
    """A load that takes no records."""

    has_ended = False
    published = acknowledged = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """It is over."""


class Parts:
    """Sees that all is processed, and notes when it is asked."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened
        self.mistakes: dict[str, None] = {}
        self.asked_since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was started."""

    def is_drained(self, since: float) -> bool:
        self._happened.append("looked whether all is processed")
        self.asked_since = since
        return True


class Pool:
    """Workers that note what is done to them; one of them gave up in a life that is over."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened
        self.failures = ["worker-1 cannot go on: no such topic"]
        self.crashes = {"killed by SIGABRT": 2}
        self.led_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._happened.append("stopped all workers")
        self.failures.append("worker-0 did not end within 40 s of SIGTERM, and was killed")

    def views(self) -> dict[str, Any]:
        return {}

    def wait_until_whole(self, _timeout: float) -> None:
        """They are."""

    def stop_of(self, processor: str) -> None:
        self._happened.append(f"stopped of {processor}")
        self.led_until = time.monotonic()


@pytest.fixture
def happened() -> list[str]:
    """What happened, in its order."""
    return []


@pytest.fixture
def course(happened: list[str], monkeypatch: pytest.MonkeyPatch) -> Course:
    """A run in which nothing is broken."""
    wanted = SimpleNamespace(rate=1, keys=1)
    experiment = SimpleNamespace(workload=wanted, drain_ms=1_000, mix=None)
    workload = SimpleNamespace(provision=lambda: None, load=lambda **_: Load())
    scene: Any = SimpleNamespace(
        experiment=experiment,
        workload=workload,
        settings=SimpleNamespace(seed=0, folder=Path("run")),
        lab=SimpleNamespace(save_logs=lambda folder: happened.append(f"kept logs in {folder}")),
        recorder=None,
        workers=Pool(happened),
        watch=nullcontext(),
        parts=Parts(happened),
        told=Untold(),
        trouble=[],
        start_workers=lambda: None,
    )

    def broken(*_: object) -> Broken:
        time.sleep(HEALING_S)
        return Broken(time.monotonic() - HEALING_S)

    monkeypatch.setattr(run_course, "steady", lambda *_: True)
    monkeypatch.setattr(run_course, "break_things", broken)
    monkeypatch.setattr(run_course, "Sampler", lambda *_: nullcontext())
    monkeypatch.setattr(run_course, "read_ends", lambda _: run_course.Ends())
    return Course(scene)


def test_who_leads_is_stopped_before_it_is_looked_whether_all_is_processed(
    course: Course, happened: list[str]
) -> None:
    """A leader task that fires once more after that look would leave a record that nobody handles."""
    course.run([])
    in_order = ["stopped of leader", "looked whether all is processed", "stopped all workers"]
    assert happened == [*in_order, "kept logs in run/brokers"]
    parts, pool = course.scene.parts, course.scene.workers
    assert parts.asked_since >= pool.led_until  # type: ignore[attr-defined]
    assert course.is_complete


def test_what_went_wrong_with_workers_in_any_of_their_lives_is_told(course: Course) -> None:
    course.run([])
    assert course.scene.trouble == [
        "worker-1 cannot go on: no such topic",
        "worker-0 did not end within 40 s of SIGTERM, and was killed",
    ]
    assert course.counts["workers killed by SIGABRT"] == 2


def test_events_are_offered_until_all_is_steady_again(course: Course) -> None:
    course.run([])
    assert HEALING_S <= course.load_s < HEALING_S + 5


def test_a_run_that_never_was_steady_has_offered_events_all_the_same(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bool:
        time.sleep(HEALING_S)
        return False

    monkeypatch.setattr(run_course, "steady", never)
    # As if the workers had taken a minute to start.
    course.broken = Broken(time.monotonic() - 60)
    course.run([])
    assert HEALING_S <= course.load_s < HEALING_S + 5

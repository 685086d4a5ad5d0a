"""What becomes of records that fail: tried again in their order, set aside up to a limit, or dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.application import FOLD, Application, Run
from tests.support.events import Added
from tests.support.fold import assert_exactly_once
from tests.support.load import Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
Make = Callable[..., Application]

TROUBLED = FOLD.replace(
    "    before =",
    """    if event.text == "hard" and (pathlib.Path(__file__).parent / "trouble").exists():
        raise ValueError("not now")
    before =""",
).replace("from holdfast", "import pathlib\nfrom holdfast", 1)
"""Fails at some events while the file is there."""


def retrying(run: Run) -> int:
    """How many shards wait for another attempt."""
    return sum(view.status.shards.get("retrying", 0) for view in run.views)


def test_a_record_is_tried_until_it_succeeds_and_nothing_overtakes_it(application: Make) -> None:
    """Its shard waits under load, also after a SIGKILL; the others go on, and nobody says it stands still."""
    app = application(
        handler=TROUBLED, on_error="retry", retry={"first_wait": "20ms", "longest_wait": "500ms"}
    )
    trouble = app.folder / "trouble"
    trouble.touch()
    with app.run() as run:
        run.until(lambda: run.running() == 4, 30, "four shards")
        with Load(app, rate=200):
            app.publish(Added(key="k3", n=5, text="hard"))
            run.until(lambda: retrying(run) == 1 and run.running() == 3, 20, "a shard that waits")
            before = app.committed()
            run.until(lambda: len(moved(before, app.committed())) >= 3, 20, "the others go on")
            run.kill()
            run.until(lambda: retrying(run) == 1, 30, "it waits again")
            trouble.unlink()
            run.until(lambda: run.running() == 4, 20, "it goes on")
        run.until_drained()
        assert run.views[0].restarts == 1, "but for the kill"
    assert_exactly_once(app)
    assert not app.dead_letters()


def moved(before: dict[tuple[str, int], int], after: dict[tuple[str, int], int]) -> set[tuple[str, int]]:
    """Partitions whose position is another one by more than a marker."""
    return {place for place, at in after.items() if at > before.get(place, 0) + 5}


def test_a_record_is_set_aside_when_its_attempts_are_used_up(application: Make) -> None:
    """Its letter tells how many there were; what came after it was handled after that."""
    app = application(handler=TROUBLED, on_error="dead-letter", retry={"attempts": 4, "first_wait": "10ms"})
    (app.folder / "trouble").touch()
    app.publish(*(Added(key=f"k{n % 9}", n=n, text="hard" if n == 77 else "") for n in range(300)))
    with app.run() as run:
        run.until_drained()
    (letter,) = app.dead_letters()
    assert dict(letter.headers() or ())["holdfast.attempts"] == b"4"
    assert "attempt 3, and tries again in" in app.logs()
    assert len(app.decoded("sums")) == 299


def test_a_shard_that_sets_too_much_aside_stops(application: Make) -> None:
    """At the first record that it does not; the others go on, and nothing is lost."""
    app = application(handler=TROUBLED, on_error="dead-letter", letter_limit={"share": 0.2, "of": 50})
    trouble = app.folder / "trouble"
    trouble.touch()
    app.publish(*(Added(key="k0", n=n, text="hard") for n in range(40)))
    app.publish(*(Added(key=f"k{n}", n=n) for n in range(40)))
    with app.run() as run:
        run.until(lambda: run.views[0].shard_failures, 30, "it stops", failing=True)
        (why,) = run.views[0].shard_failures.values()
        assert "10 of the last 50 records of this shard were set aside, and here is one more" in why
        assert "ValueError: not now" in why
        run.until(lambda: app.lag() < 60, 20, "the others go on", failing=True)
    assert len(app.dead_letters()) == 10
    trouble.unlink()
    with app.run() as run:
        run.until_drained()
    assert len(app.dead_letters()) == 10
    assert len(app.decoded("sums")) == 70


def test_dropped_records_are_counted_and_leave_no_letter(application: Make) -> None:
    """Those that cannot be decoded among them."""
    app = application(handler=TROUBLED, on_error="drop", on_bad_record="drop")
    (app.folder / "trouble").touch()
    app.publish(*(Added(key=f"k{n % 9}", n=n, text="hard" if n % 10 == 3 else "") for n in range(100)))
    with app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].status.dropped == 10, 10, "they are counted")
    assert not app.dead_letters()
    assert len(app.decoded("sums")) == 90
    assert "drops" in app.logs()

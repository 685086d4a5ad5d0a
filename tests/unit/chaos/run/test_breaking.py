"""Faults that could not be done: chance where they come by chance, trouble where they stand in the file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.run.breaking import Broken, note_what_was_not_done
from holdfast.chaos.run.nemesis import Done


def done(left_out: str = "") -> Done:
    """A fault of a plan, at 5 s."""
    planned: Any = SimpleNamespace(kind=SimpleNamespace(name="disk.full"), at_ms=5_000)
    return Done(planned, left_out=left_out)


def scene(mix: object) -> Any:
    """A run, with faults by chance if there is a mix."""
    return SimpleNamespace(experiment=SimpleNamespace(mix=mix), trouble=[])


@pytest.mark.parametrize(
    ("mix", "trouble"),
    [(None, ["disk.full at 5 s was not done: nobody leads steps/0 at the moment"]), ("a mix", [])],
)
def test_one_whose_role_nobody_had_is_trouble_only_on_a_time_line(mix: object, trouble: list[str]) -> None:
    run = scene(mix)
    note_what_was_not_done(run, Broken(0.0, [done(), done("nobody leads steps/0 at the moment")]), 2)
    assert run.trouble == trouble


def test_a_mix_of_which_nothing_could_be_done_has_shown_nothing() -> None:
    run = scene("a mix")
    note_what_was_not_done(run, Broken(0.0, [done("nobody leads"), done("nobody leads")]), 2)
    assert run.trouble == ["none of 2 planned faults could be done"]


def test_faults_that_were_never_begun_are_told() -> None:
    run = scene("a mix")
    note_what_was_not_done(run, Broken(0.0, [done()]), 3)
    assert run.trouble == ["2 of 3 planned faults were not begun"]

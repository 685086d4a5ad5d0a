"""`holdfast chaos controls`: which ones are run."""

from __future__ import annotations

from typing import NoReturn

import pytest
from typer.testing import CliRunner

from holdfast.chaos.controls.cases import RIGHT, WRONG
from holdfast.cli import chaos_controls
from holdfast.cli.chaos_controls import _chosen
from holdfast.cli.main import build_app
from holdfast.errors import ChaosError


def test_it_is_no_command_for_users() -> None:
    done = CliRunner().invoke(build_app(), ["chaos", "--help"])
    assert done.exit_code == 0
    assert "controls" not in done.output


def test_all_are_run_unless_some_are_named() -> None:
    assert _chosen([]) == [*WRONG, *RIGHT]
    assert [case.name for case in _chosen(["no-rewind", "at-least-once"])] == ["no-rewind", "at-least-once"]


def test_a_name_that_nobody_has_is_a_mistake_with_the_nearest_one() -> None:
    with pytest.raises(ChaosError, match='there is no control "no-rewnd"; did you mean "no-rewind"'):
        _chosen(["no-rewnd"])


class Started(Exception):
    """Brokers were asked for."""


@pytest.fixture
def without_faust(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lacks faust-streaming, and on which no brokers start."""

    def starts(*_: object) -> NoReturn:
        raise Started

    monkeypatch.setattr(chaos_controls, "Gauntlet", starts)
    monkeypatch.setattr("holdfast.chaos.run.possible.is_installed", lambda package: package != "faust")


@pytest.mark.usefixtures("without_faust")
def test_a_case_that_cannot_be_run_here_is_told_before_brokers_start_wherever_it_stands() -> None:
    for names in (["faust", "no-rewind"], ["client-sequence-crashes", "faust"], []):
        done = CliRunner().invoke(build_app(), ["chaos", "controls", *names])
        assert isinstance(done.exception, ChaosError), names
        assert "the engine `faust` needs faust-streaming" in str(done.exception)


@pytest.mark.usefixtures("without_faust")
def test_what_other_cases_lack_is_not_asked_for() -> None:
    for options in (["client-sequence-crashes", "no-rewind"], ["--short", "40"]):
        done = CliRunner().invoke(build_app(), ["chaos", "controls", *options])
        assert isinstance(done.exception, Started), done.exception


def test_no_short_runs_are_not_all_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_controls, "Gauntlet", None)
    done = CliRunner().invoke(build_app(), ["chaos", "controls", "--short", "0"])
    assert done.exit_code == 2
    assert "at least 1" in done.output


def test_short_runs_have_no_names() -> None:
    done = CliRunner().invoke(build_app(), ["chaos", "controls", "no-rewind", "--short", "3"])
    assert isinstance(done.exception, ChaosError) or "leave the names out" in done.output

"""`holdfast chaos run`: its exit code says whether a claim was broken, and nothing else looks like that."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from holdfast.chaos.run.result import InvariantResult, RunResult
from holdfast.cli import chaos_run
from holdfast.cli.main import build_app
from holdfast.errors import BrokersUnreachable, FaultFailed, HoldfastError, NotFairGame
from tests.support.chaos_runs import valid_run
from tests.support.experiments import EXPERIMENT

Runs = Callable[..., None]


@pytest.fixture
def comes(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Say what comes of each run: the validity of its result, or what it raises."""

    def says(*outcomes: str | BaseException) -> None:
        left: Iterator[str | BaseException] = iter(outcomes)

        def run(_: object) -> SimpleNamespace:
            outcome = next(left)
            if isinstance(outcome, BaseException):
                raise outcome
            return SimpleNamespace(validity=outcome)

        monkeypatch.setattr(chaos_run.Runner, "run", run)
        monkeypatch.setattr(chaos_run, "print_run", lambda *_: None)
        monkeypatch.setattr(chaos_run, "write_report", lambda *_: None)

    return says


def code(folder: Path, *options: str, text: str = EXPERIMENT) -> tuple[int, str]:
    """Run the experiment; the exit code and what was said."""
    file = folder / "one.yaml"
    file.write_text(text)
    done = CliRunner().invoke(
        build_app(), ["chaos", "run", str(file), "--folder", str(folder / "runs"), *options]
    )
    return done.exit_code, done.stderr


@pytest.mark.parametrize(("validity", "expected"), [("valid", 0), ("invalid", 1), ("unknown", 3)])
def test_the_verdict_decides(tmp_path: Path, comes: Runs, validity: str, expected: int) -> None:
    comes(validity)
    assert code(tmp_path)[0] == expected


@pytest.mark.parametrize("error", [FaultFailed("a disk hangs"), BrokersUnreachable("no answer")])
def test_a_run_that_could_not_be_brought_to_its_end_could_not_tell(
    tmp_path: Path, comes: Runs, error: HoldfastError
) -> None:
    comes(error)
    found, said = code(tmp_path)
    assert found == 3
    assert f"error: {error}" in said


def test_a_mistake_of_holdfast_is_no_broken_claim(tmp_path: Path, comes: Runs) -> None:
    comes(KeyError("shard"))
    found, said = code(tmp_path)
    assert found == 3
    assert "KeyError: 'shard'" in said
    assert "this is a mistake of Holdfast" in said


@pytest.fixture
def full_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let each run end with a result of these validities, and the disk be full from the first end on."""

    def says(*validities: str) -> None:
        left = iter(validities)

        def full(*_: object, **__: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def run(_: object) -> RunResult:
            claim = InvariantResult("exactly-once", next(left))
            monkeypatch.setattr(Path, "write_text", full)
            return replace(valid_run(), invariants=(claim,))

        monkeypatch.setattr(chaos_run.Runner, "run", run)

    return says


@pytest.mark.parametrize(("validity", "expected"), [("valid", 3), ("invalid", 1)])
def test_a_report_that_cannot_be_written_is_told_and_hides_no_broken_claim(
    tmp_path: Path, full_after: Callable[..., None], validity: str, expected: int
) -> None:
    full_after(validity)
    found, said = code(tmp_path)
    assert found == expected
    said = " ".join(said.split())
    assert "report.html: it cannot be written: No space left on device; `holdfast chaos report" in said


def test_a_report_that_cannot_be_written_does_not_keep_other_seeds_from_being_run(
    tmp_path: Path, full_after: Callable[..., None]
) -> None:
    full_after("valid", "invalid")
    found, said = code(tmp_path, "--runs", "2")
    assert (found, said.count("it cannot be written")) == (1, 2)


def test_one_that_could_not_does_not_keep_the_others_from_being_run(tmp_path: Path, comes: Runs) -> None:
    comes(FaultFailed("a disk hangs"), "invalid")
    assert code(tmp_path, "--runs", "2")[0] == 1


@pytest.fixture
def interrupted(comes: Runs, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the first run be asked to end, and its end in order have an outcome."""

    def says(outcome: str | Exception) -> None:
        comes(outcome, "valid")
        ends = chaos_run.Runner.run

        def run(runner: chaos_run.Runner) -> object:
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            return ends(runner)

        monkeypatch.setattr(chaos_run.Runner, "run", run)

    return says


@pytest.mark.parametrize("outcome", [FaultFailed("a disk hangs"), KeyError("shard"), "valid", "invalid"])
def test_whatever_comes_of_one_that_was_interrupted_it_was_and_is_the_last(
    tmp_path: Path, interrupted: Callable[..., None], outcome: str | Exception
) -> None:
    """An error of its end in order takes the place of the interrupt, and is told beside it."""
    interrupted(outcome)
    found, said = code(tmp_path, "--runs", "2")
    assert found == 130
    assert "interrupted;" in said
    assert "seed 1" not in said
    assert "is undone" not in said.replace("what was broken is undone", "")
    if isinstance(outcome, Exception):
        assert str(outcome.args[0]) in said


def test_an_interrupt_that_comes_through_is_told_with_what_it_left(tmp_path: Path, comes: Runs) -> None:
    comes(KeyboardInterrupt())
    found, said = code(tmp_path, "--runs", "2")
    assert found == 130
    assert "every fault is undone" in said


def test_a_mistake_of_the_user_is_no_verdict(tmp_path: Path, comes: Runs) -> None:
    comes(NotFairGame("it is not marked"))
    assert code(tmp_path)[0] == 2
    found, said = code(tmp_path, text=EXPERIMENT.replace("worker.kill", "worker.kil"))
    assert found == 2
    assert "worker.kil" in said


def test_what_is_repeated_finds_its_functions_where_they_were(tmp_path: Path, comes: Runs) -> None:
    """A run has a copy of the file alone; what repeats a repeated run has a copy of that copy."""
    comes("valid", "valid")
    (tmp_path / "own_repeated.py").write_text("def holds(database):\n    return None\n")
    own = "- {name: own, check: own_repeated:holds}"
    file = tmp_path / "one.yaml"
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "experiment.yaml").write_text(
            EXPERIMENT.partition("invariants:")[0] + f"invariants:\n  {own}\n"
        )
        replace(valid_run(), file=str(file)).save(tmp_path / run)
        file = tmp_path / run / "experiment.yaml"
    asked = ["chaos", "replay", str(tmp_path / "second"), "--folder", str(tmp_path / "runs")]
    done = CliRunner().invoke(build_app(), asked)
    assert done.exit_code == 0, done.stderr


def test_nothing_to_be_repeated_is_a_mistake(tmp_path: Path) -> None:
    done = CliRunner().invoke(build_app(), ["chaos", "replay", str(tmp_path)])
    assert done.exit_code == 2
    assert "holds no run that can be repeated" in done.stderr


def test_a_run_that_names_itself_can_be_repeated(
    tmp_path: Path, comes: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that was made by `replay .`, when its own folder is the present one."""
    comes("valid")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    replace(valid_run(), file="experiment.yaml").save(tmp_path)
    done = CliRunner().invoke(build_app(), ["chaos", "replay", ".", "--folder", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.stderr


def test_a_damaged_run_is_not_repeated(tmp_path: Path) -> None:
    valid_run().save(tmp_path)
    (tmp_path / "run.json").write_text(
        (tmp_path / "run.json").read_text().replace('"workload": {', '"workload": [{')
    )
    done = CliRunner().invoke(build_app(), ["chaos", "replay", str(tmp_path)])
    assert done.exit_code == 2
    assert f"{tmp_path / 'run.json'}: this is no result of a run" in done.stderr


def test_a_pipe_and_a_name_that_no_report_can_tell_are_refused_before_a_run(tmp_path: Path) -> None:
    pipe, strange = tmp_path / "pipe.yaml", tmp_path / os.fsdecode(b"\xe4.yaml")
    os.mkfifo(pipe)
    strange.write_text(EXPERIMENT)
    for file, told in {pipe: "write it to a file first", strange: "rename it"}.items():
        done = CliRunner().invoke(
            build_app(), ["chaos", "run", str(file), "--folder", str(tmp_path / "runs")]
        )
        assert done.exit_code == 2
        assert told in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()


def test_two_runs_that_begin_in_one_second_have_a_folder_each(
    tmp_path: Path, comes: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes("valid", "valid")
    asked: list[int] = []

    def begun(form: str, _: object) -> str:
        asked.append(1)
        return "20261130-120000" if len(asked) < 4 else "20261130-120001"

    monkeypatch.setattr(chaos_run.time, "strftime", begun)
    assert code(tmp_path, "--seed", "7")[0] == 0
    assert code(tmp_path, "--seed", "7")[0] == 0
    stamps = sorted(place.name.split("-seed-")[0][-15:] for place in (tmp_path / "runs").iterdir())
    assert stamps == ["20261130-120000", "20261130-120001"]


def test_a_folder_for_runs_that_is_a_file_is_told(tmp_path: Path, comes: Runs) -> None:
    comes("valid")
    (tmp_path / "runs").write_text("")
    status, told = code(tmp_path)
    assert status == 2
    assert "cannot be made" in told
    assert "name another --folder" in told

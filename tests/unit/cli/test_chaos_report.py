"""`holdfast chaos report`: what it writes, what it says, and what it does with folders that hold no run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from holdfast.chaos.run.result import FILE_NAME, RunResult
from holdfast.cli import chaos_report, chaos_summary
from holdfast.cli.console import PlainConsole
from holdfast.cli.main import build_app
from holdfast.errors import ChaosError
from tests.support.chaos_runs import (
    Shape,
    empty_run,
    hostile_run,
    invalid_run,
    unknown_run,
    valid_run,
)

FILES = ["report.html", "junit.xml", "summary.json"]


def report(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["chaos", "report", *map(str, arguments)])


def saved(folder: Path, result: RunResult) -> Path:
    folder.mkdir(parents=True)
    result.save(folder)
    return folder


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> PlainConsole:
    """A terminal of 80 columns that keeps what is printed."""
    console = PlainConsole(force_terminal=True, color_system=None, width=80, record=True, quiet=False)
    monkeypatch.setattr(chaos_report, "out", console)
    monkeypatch.setattr(chaos_report, "wants_json", lambda asked: asked)
    return console


def test_a_run_gets_its_files_beside_it(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a", valid_run())
    done = report(folder)
    assert done.exit_code == 0, done.output
    assert sorted(it.name for it in folder.iterdir()) == sorted([FILE_NAME, *FILES])
    assert "<h1>VALID: " in (folder / "report.html").read_text()


def test_programs_get_one_object_for_each_run_with_the_files(tmp_path: Path) -> None:
    for name, run in {"a": valid_run(), "b": invalid_run()}.items():
        saved(tmp_path / name, run)
    rows = [json.loads(line) for line in report(tmp_path, "--json").stdout.splitlines()]
    assert [row["validity"] for row in rows] == ["valid", "invalid"]
    assert rows[0]["files"] == [str(tmp_path / "a" / name) for name in FILES]


def test_a_second_report_writes_the_pages_anew(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a", valid_run())
    report(folder)
    invalid_run().save(folder)
    report(folder)
    assert "<h1>INVALID: " in (folder / "report.html").read_text()
    assert sorted(it.name for it in folder.iterdir()) == sorted([FILE_NAME, *FILES])


def test_several_runs_of_a_folder_get_a_page_over_all_of_them(tmp_path: Path) -> None:
    """With links from where it is to theirs, whatever their names."""
    saved(tmp_path / "runs" / "a #1", valid_run())
    saved(tmp_path / "runs" / "deep" / "b", unknown_run())
    report(tmp_path / "runs")
    page = (tmp_path / "runs" / "chaos-runs.html").read_text()
    assert 'href="a%20%231/report.html"' in page
    assert 'href="deep/b/report.html"' in page


def test_runs_that_are_named_one_by_one_get_it_where_they_are(tmp_path: Path) -> None:
    folders = [saved(tmp_path / name, valid_run(Shape(seed=i))) for i, name in enumerate("abc")]
    report(*folders)
    assert (tmp_path / "chaos-runs.html").is_file()


def test_runs_of_several_places_get_it_only_where_it_was_asked_for(
    tmp_path: Path, terminal: PlainConsole
) -> None:
    folders = [saved(tmp_path / place / "run", valid_run()) for place in ("x", "y")]
    report(*folders)
    assert "The page over all of them: say where, with --trend FILE." in terminal.export_text()
    assert not list(tmp_path.rglob("chaos-runs.html"))
    report(*folders, "--trend", tmp_path / "all.html")
    assert 'href="x/run/report.html"' in (tmp_path / "all.html").read_text()


def test_a_folder_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a", valid_run())
    assert len(report(folder, tmp_path, folder / FILE_NAME).stdout.splitlines()) == 1


def test_a_folder_without_a_run_says_what_was_looked_for(tmp_path: Path) -> None:
    done = report(tmp_path)
    assert isinstance(done.exception, ChaosError)
    assert f"{tmp_path}: there is no run (run.json) in it or below it" in str(done.exception)
    assert "no such folder" in str(report(tmp_path / "nowhere").exception)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "samples": 3}', "\udcff"])
def test_a_file_that_is_no_run_hides_no_other(tmp_path: Path, text: str) -> None:
    saved(tmp_path / "good", valid_run())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / FILE_NAME).write_bytes(text.encode(errors="surrogateescape"))
    done = report(tmp_path)
    assert json.loads(done.stdout.splitlines()[0])["validity"] == "valid"
    assert isinstance(done.exception, ChaosError)
    assert str(done.exception).startswith(f"{tmp_path / 'bad' / FILE_NAME}: this is no result of a run")


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a", valid_run())
    (folder / "report.html").mkdir()
    assert str(report(folder).exception).startswith(f"{folder / 'report.html'}: it cannot be written: ")


def test_a_terminal_gets_the_verdict_first_and_the_command_last(
    tmp_path: Path, terminal: PlainConsole
) -> None:
    report(saved(tmp_path / "a", invalid_run()))
    lines = terminal.export_text().splitlines()
    assert lines[1] == "INVALID: 3 lost writes and 12 duplicates"
    assert lines[3].startswith("BROKEN   exactly-once")
    assert any("12 unseen writes (allowed: their acknowledgement" in line for line in lines)
    assert lines[-1] == "repeat  holdfast chaos run chaos/random-mix.yaml --seed 2"


def test_kinds_of_faults_have_their_quantiles_where_there_are_several(
    tmp_path: Path, terminal: PlainConsole
) -> None:
    report(saved(tmp_path / "a", valid_run(Shape(faults=8, kinds=("worker.kill", "broker.kill")))))
    shown = terminal.export_text()
    assert "recovery by kind of fault, p50 / p95 / max" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("worker.kill")]
    assert line.count(" / ") >= 4


@pytest.mark.parametrize("make", [valid_run, invalid_run, unknown_run, empty_run, hostile_run])
def test_it_fits_eighty_columns(make: object, terminal: PlainConsole) -> None:
    assert callable(make)
    chaos_summary.print_run(terminal, make(), [Path("runs/a/report.html")])
    chaos_summary.print_runs(terminal, [make(), valid_run()])
    shown = terminal.export_text()
    assert max(map(len, shown.splitlines())) <= 80
    assert not set(shown) & set("\x00\x1b\u202e")


def test_many_runs_are_a_table_by_time_with_their_kinds_of_faults(
    tmp_path: Path, terminal: PlainConsole
) -> None:
    early, late = (valid_run(Shape(seed=seed, faults=2)) for seed in (1, 2))
    saved(tmp_path / "a", late)
    saved(tmp_path / "b", replace(early, faults=(), recovery=()))
    report(tmp_path)
    lines = terminal.export_text().splitlines()
    assert lines[1].split() == ["2026-11-02", "13:45", "random-mix", "1", "VALID"]
    assert lines[2].split()[:6] == ["2026-11-03", "13:45", "random-mix", "2", "VALID", "worker.kill"]
    assert lines[3].split()[0] == "broker.kill"
    assert lines[-1] == f"all runs  {tmp_path / 'chaos-runs.html'}" or lines[-2].startswith("all runs  ")

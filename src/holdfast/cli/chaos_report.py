"""`holdfast chaos report`: pages, and files for CI, from the runs in some folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import typer
from rich.markup import escape

from holdfast.chaos.report import PAGE, TrendRun, clean, files_of, summary_of, trend_page
from holdfast.chaos.run.result import FILE_NAME, RunResult
from holdfast.cli.chaos_summary import print_run, print_runs
from holdfast.cli.console import out
from holdfast.cli.rows import AsJson, print_json_lines, wants_json
from holdfast.cli.words import counted
from holdfast.errors import ChaosError

INDEX = "chaos-runs.html"
"""The page over many runs: a name that no other page has, as the folder may be anybody's."""


@dataclass(frozen=True, slots=True)
class _Run:
    folder: Path
    result: RunResult


def report(
    folders: list[Path] = typer.Argument(
        ..., metavar="FOLDER...", help="Folders of runs, or folders that hold such."
    ),
    trend: Path | None = typer.Option(
        None,
        "--trend",
        metavar="FILE",
        help="Where the page over all runs goes, if not to chaos-runs.html in their folder.",
    ),
    as_json: bool = AsJson,
) -> None:
    """Write the reports of runs, also anew: a page, junit.xml and summary.json beside each run.json.

    Of several runs it also writes a page over all of them. One that cannot be read hides no other: it is told
    at the end, and the exit code is 1. The verdicts do not change the exit code.
    """
    runs: list[_Run] = []
    problems: list[str] = []
    for path in _files(folders, problems):
        try:
            runs.append(_Run(path.parent, loaded(path)))
        except ChaosError as error:
            problems.append(str(error))
    written = [write_report(run.folder, run.result) for run in runs]
    index = _write_trend(runs, folders, trend)
    if wants_json(as_json):
        print_json_lines(
            {**summary_of(run.result), "files": [str(file) for file in files]}
            for run, files in zip(runs, written, strict=True)
        )
    else:
        _print(runs, written, index)
    if problems:
        raise ChaosError("\n".join(problems))


def _files(folders: Sequence[Path], problems: list[str]) -> list[Path]:
    """Every `run.json` in some folders or below them, each once."""
    found: dict[Path, Path] = {}
    for folder in folders:
        here = [folder] if folder.name == FILE_NAME and folder.is_file() else sorted(folder.rglob(FILE_NAME))
        if not here:
            problems.append(_nothing_in(folder))
        for path in here:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _nothing_in(folder: Path) -> str:
    if not folder.exists():
        return f"{folder}: there is no such folder"
    return (
        f"{folder}: there is no run ({FILE_NAME}) in it or below it; "
        "name a folder that `holdfast chaos run` wrote, or one that holds such"
    )


def loaded(path: Path) -> RunResult:
    """Read what is known of a run.

    Raises:
        ChaosError: it cannot be read, or is none.
    """
    try:
        return RunResult.load(path)
    except OSError as error:
        raise ChaosError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ChaosError(
            f"{path}: this is no result of a run that this version can read ({error}); "
            "run the experiment again, or use the version of Holdfast that wrote it"
        ) from error


def write_report(folder: Path, result: RunResult) -> list[Path]:
    """Write the report of a run into its folder; return the files, the page first.

    Raises:
        ChaosError: one cannot be written.
    """
    return [_write_file(folder / name, text) for name, text in files_of(result).items()]


def _write_file(path: Path, text: str) -> Path:
    """Write a file whole: who reads it meanwhile gets the old one or the new one."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise ChaosError(f"{path}: it cannot be written: {error.strerror or error}") from error
    return path


def _write_trend(runs: Sequence[_Run], folders: Sequence[Path], asked: Path | None) -> Path | None:
    """The page over several runs; where nobody said, in the folder that holds them, if there is one."""
    path = asked or _home_of(folders)
    if path is None or not runs or (len(runs) < 2 and asked is None):
        return None
    from_here = path.resolve().parent
    linked = [
        TrendRun(run.result, quote(os.path.relpath(run.folder.resolve() / PAGE, from_here))) for run in runs
    ]
    return _write_file(path, trend_page(linked))


def _home_of(folders: Sequence[Path]) -> Path | None:
    """The one folder that was named, or the one that all that were named are in."""
    if len(folders) == 1:
        return folders[0] / INDEX if folders[0].is_dir() else None
    parents = {folder.resolve().parent for folder in folders}
    return folders[0].parent / INDEX if len(parents) == 1 else None


def _print(runs: Sequence[_Run], written: Sequence[Sequence[Path]], index: Path | None) -> None:
    if len(runs) == 1:
        print_run(out, runs[0].result, written[0])
    elif runs:
        print_runs(out, [run.result for run in runs])
        text = f"Wrote {PAGE}, junit.xml and summary.json beside {counted(len(runs), 'run')}."
        out.print(escape(text), highlight=False)
    if index:
        out.print(f"all runs  {escape(clean(str(index)))}", highlight=False, soft_wrap=True)
    elif len(runs) > 1:
        out.print("The page over all of them: say where, with --trend FILE.", highlight=False)

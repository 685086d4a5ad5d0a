"""`holdfast chaos run` and `replay`: an experiment on real brokers, and its verdict."""

from __future__ import annotations

import shlex
import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer
from rich.markup import escape

from holdfast.chaos.experiment import Experiment, explain, load
from holdfast.chaos.run.facts import facts_of_this_machine
from holdfast.chaos.run.nemesis import Done
from holdfast.chaos.run.possible import require_possible
from holdfast.chaos.run.result import FILE_NAME, RunResult
from holdfast.chaos.run.runner import Runner
from holdfast.chaos.run.settings import RunSettings
from holdfast.chaos.workloads.base import Offering
from holdfast.cli.chaos import chaos
from holdfast.cli.chaos_report import loaded, write_report
from holdfast.cli.chaos_summary import print_run
from holdfast.cli.cluster_progress import ClusterProgress
from holdfast.cli.console import INTERRUPTED, err, out, print_error
from holdfast.cli.orderly_end import orderly_once
from holdfast.errors import ChaosError, HoldfastError, NotFairGame
from holdfast.topology import ResolvedTopology

RUNS = Path("chaos-runs")
"""Where runs are kept."""

MISTAKEN = 2
"""Exit code where nothing was run: the experiment, or what it needs, is not as it has to be."""

UNSURE = 3
"""Exit code where nothing wrong was found, but something could not be told."""

ORDERLY_S = 150.0
"""Seconds for an end in order after Ctrl-C: faults are undone, workers and brokers are stopped."""

_EXPERIMENT = "experiment.yaml"
_TELL_S = 5.0


def run_experiment(
    file: Path = typer.Argument(..., metavar="FILE", help="The experiment's file."),
    seed: int = typer.Option(
        0, "--seed", metavar="N", min=0, help="Which of its runs; the first of several."
    ),
    runs: int = typer.Option(1, "--runs", metavar="K", min=1, help="How many runs, each with the next seed."),
    folder: Path = typer.Option(RUNS, "--folder", metavar="FOLDER", help="Where the runs are kept."),
) -> None:
    """Run an experiment on brokers of its own, and judge what happened.

    Exit code 0 if every claim holds in every run, 1 if one does not, 3 if a run could not tell or be brought
    to its end, 2 if nothing was run for a mistake that its message tells.
    """
    with _before_a_run():
        _require_file(file)
        experiment = load(file)
        application = _require(experiment)
    results = []
    for number in range(seed, seed + runs):
        with _before_a_run():
            place = _new_folder(folder, experiment.name, number)
            _keep(file, place)
        command = f"holdfast chaos run {shlex.quote(str(file))} --seed {number}"
        results.append(_run(experiment, RunSettings(number, place, command, application=application)))
    raise typer.Exit(_exit_code(results))


def replay(
    run: Path = typer.Argument(..., metavar="RUN", help="The folder of a run."),
    folder: Path = typer.Option(RUNS, "--folder", metavar="FOLDER", help="Where the runs are kept."),
) -> None:
    """Do a run again: the same experiment, as its file was then, with the same seed.

    The plan is the same. What the machine makes of it may differ.
    """
    with _before_a_run():
        _require_file(run / _EXPERIMENT)
        before = _loaded(run)
        experiment = _as_before(load(run / _EXPERIMENT), before)
        application = _require(experiment)
        place = _new_folder(folder, experiment.name, before.seed)
        _keep(run / _EXPERIMENT, place)
    command = f"holdfast chaos replay {shlex.quote(str(run))}"
    result = _run(experiment, RunSettings(before.seed, place, command, application=application))
    if result is not None and result.validity != before.validity:
        out.print(f"The run that was repeated had been {before.validity}.", highlight=False)
    raise typer.Exit(_exit_code([result]))


@contextmanager
def _before_a_run() -> Iterator[None]:
    """Give the mistakes of a user an exit code that is no verdict."""
    try:
        yield
    except HoldfastError as error:
        print_error(error)
        raise typer.Exit(MISTAKEN) from error


def _loaded(run: Path) -> RunResult:
    if not (run / FILE_NAME).exists():
        what = f"there is no {FILE_NAME} in it" if run.is_dir() else "there is no such folder"
        raise ChaosError(
            f"{run} holds no run that can be repeated: {what}; name a folder that `holdfast chaos run` wrote"
        )
    return loaded(run / FILE_NAME)


def _as_before(experiment: Experiment, before: RunResult) -> Experiment:
    """The experiment of a run's folder: what its file names is where it was, not beside the copy."""
    experiment = replace(experiment, functions=_first_folder(before))
    topology = before.workload.get("topology")
    if topology is None:
        return experiment
    return replace(experiment, workload=experiment.workload.model_copy(update={"topology": topology}))


def _first_folder(run: RunResult) -> Path:
    """The folder of the file that a run began with, also if it repeated one that was itself repeated."""
    folder, seen = Path(run.file).parent, set[Path]()
    while (folder / FILE_NAME).exists() and folder.resolve() not in seen:
        # Names are those that the command was given: seen from another folder, one may name its own run.
        seen.add(folder.resolve())
        folder = Path(_loaded(folder).file).parent
    return folder


def _require(experiment: Experiment) -> ResolvedTopology | None:
    """Refuse what cannot be done, before anything is started; return the experiment's application, if any."""
    missing = explain(experiment, facts_of_this_machine())
    if missing:
        raise ChaosError(f"{experiment.source.path} cannot be run here.\n{missing}")
    return require_possible(experiment)


def _require_file(file: Path) -> None:
    """Refuse a file that a run could not keep a copy of, or whose name its report could not tell."""
    if file.is_fifo() or file.is_socket():
        raise ChaosError(f"{file}: a pipe can be read once, and a run keeps a copy; write it to a file first")
    try:
        str(file).encode()
    except UnicodeEncodeError:
        name = str(file).encode("utf-8", "backslashreplace").decode()
        raise ChaosError(f"{name}: its name is not UTF-8, so no report could tell it; rename it") from None


def _keep(file: Path, place: Path) -> None:
    """Copy the experiment's file into a run's folder."""
    try:
        shutil.copyfile(file, place / _EXPERIMENT)
    except OSError as error:
        raise ChaosError(f"{place / _EXPERIMENT} cannot be written: {error.strerror or error}") from error


def _new_folder(folder: Path, name: str, seed: int) -> Path:
    """Make the folder of a run, with a name that tells when it began."""
    while True:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        place = folder / f"{name}-{stamp}-seed-{seed}"
        try:
            place.mkdir(parents=True)
        except OSError as error:
            if not place.is_dir():
                raise ChaosError(
                    f"{place} cannot be made: {error.strerror or error}; name another --folder"
                ) from error
            # Another run began in this second; names of later ones are to be larger.
            time.sleep(0.1)
        else:
            return place


def _run(experiment: Experiment, settings: RunSettings) -> RunResult | None:
    """Run it once; None, with the reason told, if it could not be brought to its end.

    Raises:
        Exit: nothing was run for a mistake; or it was interrupted, whatever came of it.
    """
    err.print(escape(f"{experiment.name}, seed {settings.seed}, in {settings.folder}"), highlight=False)
    with orderly_once(ORDERLY_S) as asked:
        result, why = _attempt(experiment, settings)
    if result is not None and not _is_told(result, settings.folder) and result.validity != "invalid":
        result = None
    if asked.is_set() or isinstance(why, KeyboardInterrupt):
        is_in_order = isinstance(why, KeyboardInterrupt)
        left = (
            "every fault is undone, workers and brokers are stopped"
            if is_in_order
            else "this is the last run"
        )
        err.print(f"[yellow]interrupted;[/] {left}.")
        raise typer.Exit(INTERRUPTED)
    if isinstance(why, NotFairGame):
        raise typer.Exit(MISTAKEN)
    return result


def _is_told(result: RunResult, folder: Path) -> bool:
    """Print a run and write its report; False, with the reason told, if that cannot be written."""
    try:
        written = write_report(folder, result)
    except ChaosError as error:
        print_run(out, result)
        again = f"`holdfast chaos report {shlex.quote(str(folder))}` writes the report anew"
        print_error(ChaosError(f"{error}; {again}"))
        return False
    print_run(out, result, written)
    return True


def _attempt(
    experiment: Experiment, settings: RunSettings
) -> tuple[RunResult, None] | tuple[None, BaseException]:
    """Run it once; return its result, or what kept it from one, which is told unless it is an interrupt."""
    try:
        with ClusterProgress() as progress:
            return Runner(experiment, settings, _Teller(), progress).run(), None
    except HoldfastError as error:
        print_error(error)
        return None, error
    except Exception as error:  # noqa: BLE001 - Python's own exit code for it is that of a broken claim
        err.print(escape(traceback.format_exc()), highlight=False, soft_wrap=True)
        err.print(
            "[bold red]error:[/] this is a mistake of Holdfast; the run could not be brought to its end."
        )
        return None, error
    except KeyboardInterrupt as error:
        return None, error


class _Teller:
    """Says on standard error how a run goes on: phases, faults, and a line now and then."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told_at = 0.0
        self._told_faults = 0

    def phase(self, name: str) -> None:
        """Something new begins."""
        err.print(escape(f"{time.monotonic() - self._began:6.1f} s  {name}"), highlight=False)

    def tick(self, at: float, load: Offering, done: Sequence[Done], lag: int) -> None:
        """How it is."""
        hit = [each for each in done if each.hit or each.error]
        for each in hit[self._told_faults :]:
            what = f"{each.planned.kind.name} {', '.join(each.hit)}"
            text = f"[red]{escape(each.error)}[/]" if each.error else escape(what)
            err.print(f"{'':9} at {each.planned.at_ms / 1000:.1f} s  {text}", highlight=False)
        self._told_faults = len(hit)
        if at - self._told_at >= _TELL_S:
            self._told_at = at
            err.print(f"{'':9} at {at:.0f} s  {load.published:,} published, {lag:,} wait", highlight=False)


def _exit_code(results: Sequence[RunResult | None]) -> int:
    found = {result.validity if result is not None else "unknown" for result in results}
    return 1 if "invalid" in found else UNSURE if "unknown" in found else 0


def register(_app: typer.Typer) -> None:
    """Add both to `chaos`."""
    chaos.command("run")(run_experiment)
    chaos.command()(replay)

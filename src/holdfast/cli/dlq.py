"""`holdfast dlq`: dead letters, looked at, given back to their processors, or given up."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import typer
from rich.markup import escape

from holdfast.cli.app import App
from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import INTERRUPTED, err, out
from holdfast.cli.dlq_remarks import on_nothing, on_order
from holdfast.cli.dlq_view import (
    Totals,
    letter_row,
    letters_table,
    newest,
    totals_table,
    whole_row,
    whole_text,
)
from holdfast.cli.rate import Pacer, parse_rate
from holdfast.cli.reason import required_reason
from holdfast.cli.rows import AsJson, print_json_lines, print_table, wants_json
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.topology import TopologyFile
from holdfast.cli.who import who
from holdfast.cli.words import counted
from holdfast.errors import LettersRefused
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.letter_writer import LetterWriter
from holdfast.kafka.scan import LogScanner
from holdfast.runtime.letter_box import LetterBox
from holdfast.runtime.letter_choice import Choice, Found, State, open_ones, parse_places, parse_time
from holdfast.runtime.letter_takers import require_takers
from holdfast.runtime.redrive import Done, Redriver
from holdfast.topology import Topology, load
from holdfast.topology.model import BROKER_MAX_BYTES, CAUSE_BYTES, MAX_BYTES

SHOWN = 100
"""Letters that a terminal shows unless asked for more."""

FAILED_AGAIN = 4
"""Exit code of `redrive --wait` when records failed again, or still wait."""

Places = typer.Argument(
    None, metavar="PLACE...", help="Letters, as `list` shows them: 3@17.", show_default=False
)
Processor = typer.Option(None, "--processor", "-p", metavar="P", help="Only letters of this processor.")
Topic = typer.Option(None, "--topic", metavar="T", help="Only letters of records of this input.")
Error = typer.Option(None, "--error", metavar="TEXT", help="Only causes with this in their class or text.")
Since = typer.Option(
    None, "--since", metavar="TIME", help="Only what was set aside since (ISO 8601, or 2h for 2 h ago)."
)
Until = typer.Option(None, "--until", metavar="TIME", help="Only what was set aside before.")
Key = typer.Option(None, "--key", metavar="K", help="Only letters of records with this key.")
All = typer.Option(False, "--all", help="All open letters.")
DryRun = typer.Option(False, "--dry-run", help="Only show which letters these are, and what to mind.")

dlq = App(name="dlq", help="Look at dead letters, redrive them, discard them.", no_args_is_help=True)


@dlq.command("list")
def dlq_list(
    processor: str | None = Processor,
    topic: str | None = Topic,
    error: str | None = Error,
    since: str | None = Since,
    until: str | None = Until,
    key: str | None = Key,
    state: str = typer.Option("open", "--state", metavar="STATE", help="open, redriven, discarded or all."),
    limit: int | None = typer.Option(
        None,
        "--limit",
        "-n",
        metavar="N",
        min=1,
        help=f"At most so many letters; {SHOWN} in a terminal unless given.",
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Show dead letters, the newest first, and how many there are by processor and class of cause."""
    if state not in ("open", "redriven", "discarded", "all"):
        raise typer.BadParameter(
            f"{state!r} is no state; say open, redriven, discarded or all.", param_hint="--state"
        )
    wanted = None if state == "all" else cast("State", state)
    declared = load(topology)
    choice = _choice(declared, processor, topic, error, since, until, key, state=wanted)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    totals = Totals()
    most = limit or (SHOWN if out.is_terminal and not as_json else None)
    with _box(declared, servers) as box:
        shown = _newest(box.find(choice), totals, most)
    if wants_json(as_json):
        print_json_lines([*map(letter_row, shown), *totals.rows()])
    else:
        _print(shown, totals, all_states=wanted is None)
    if not totals.total:
        _tell(on_nothing(declared, choice))
    _tell_unreadable(declared, box)


def _newest(found: Iterator[Found], totals: Totals, most: int | None) -> list[Found]:
    """Count all, and keep the newest, without what only `show` shows."""

    def counted_() -> Iterator[Found]:
        for each in found:
            totals.count(each)
            yield each

    if most is None:
        return newest(list(counted_()))
    return heapq.nlargest(most, counted_(), key=lambda it: (it.at, it.letter.place))


def _print(shown: Sequence[Found], totals: Totals, *, all_states: bool = False) -> None:
    if not totals.total:
        out.print("no dead letters, or none that fit.")
        return
    print_table(letters_table(out, shown, _now(), all_states=all_states))
    if len(shown) < totals.total:
        err.print(f"[dim]{len(shown):,} of {counted(totals.total, 'letter')}; --limit shows more.[/]")
    out.print()
    print_table(totals_table(out, totals.rows()))


def _tell(remarks: Iterable[str]) -> None:
    for remark in remarks:
        err.print(f"[yellow]{escape(remark)}[/]", highlight=False, soft_wrap=True)


def _tell_unreadable(declared: Topology, box: LetterBox) -> None:
    if box.unreadable:
        err.print(
            f"[yellow]{counted(box.unreadable, 'record')} of {escape(declared.dead_letter_topic)} were not "
            "written by a processor.[/]"
        )


@dlq.command("show")
def dlq_show(
    place: str = typer.Argument(metavar="PLACE", help="The letter, as `list` shows it: 3@17."),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Show all of one letter: the record with its headers, the cause with its stack trace."""
    declared = load(topology)
    choice = Choice(places=parse_places([place], declared.dead_letter_topic))
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    with _box(declared, servers) as box:
        found = next(box.find(choice, "all"), None)
    if found is None:
        raise LettersRefused(f"there is no letter at {place}. `holdfast dlq list --state all` shows all.")
    if wants_json(as_json):
        print_json_lines([whole_row(found)])
    else:
        out.print(whole_text(found, _now()), markup=False, highlight=False, soft_wrap=True)


@dlq.command("redrive")
def dlq_redrive(
    places: list[str] | None = Places,
    processor: str | None = Processor,
    topic: str | None = Topic,
    error: str | None = Error,
    since: str | None = Since,
    until: str | None = Until,
    key: str | None = Key,
    everything: bool = All,
    rate: str | None = typer.Option(
        None, "--rate", metavar="N/s", help="At most so many letters per second.", show_default=False
    ),
    wait: float = typer.Option(
        0.0,
        "--wait",
        metavar="SECONDS",
        min=0.0,
        help="Wait so long until they are handled, and redrive what comes to their keys meanwhile.",
    ),
    new_keys: bool = typer.Option(
        False,
        "--new-keys",
        help="Services are called with other keys of idempotency than before: they decide anew.",
    ),
    dry_run: bool = DryRun,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Give letters back to the processors that set them aside, in the order of their keys."""
    per_second = parse_rate(rate)
    declared = load(topology)
    chosen = _choice(declared, processor, topic, error, since, until, key, places)
    choice = _required(chosen, everything, "redrive")
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    if dry_run:
        _show_choice(declared, servers, choice, as_json, redriven=True)
        return

    def deal(redriver: Redriver) -> None:
        redriver.redrive(choice)
        _tell(on_order(declared, redriver.done.letters))
        if wait and redriver.done.letters:
            redriver.wait(wait)

    done = _deal(declared, servers, deal, "redriven", per_second, new_keys=new_keys)
    _report(declared, choice, done, "redriven", as_json)
    if wait and (done.failed or done.waiting or done.is_late):
        raise typer.Exit(FAILED_AGAIN)


@dlq.command("discard")
def dlq_discard(
    places: list[str] | None = Places,
    why: str = typer.Option(..., "--why", metavar="TEXT", help="The reason, which is kept with the letters."),
    processor: str | None = Processor,
    topic: str | None = Topic,
    error: str | None = Error,
    since: str | None = Since,
    until: str | None = Until,
    key: str | None = Key,
    everything: bool = All,
    dry_run: bool = DryRun,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Give letters up: they stay in their topic, and are not redriven any more."""
    reason = required_reason(why, "whoever finds them discarded")
    declared = load(topology)
    chosen = _choice(declared, processor, topic, error, since, until, key, places)
    choice = _required(chosen, everything, "discard")
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    if dry_run:
        _show_choice(declared, servers, choice, as_json, redriven=False)
        return
    done = _deal(declared, servers, lambda redriver: redriver.discard(choice, reason), "discarded")
    _report(declared, choice, done, "discarded", as_json)


def _choice(
    declared: Topology,
    processor: str | None,
    topic: str | None,
    error: str | None,
    since: str | None,
    until: str | None,
    key: str | None,
    places: list[str] | None = None,
    state: State | None = "open",
) -> Choice:
    if error == "":
        raise LettersRefused("--error is empty, which every cause has in it: leave it out, or say --all.")
    now = _now()
    begin, end = parse_time(since, now), parse_time(until, now)
    if begin is not None and end is not None and begin >= end:
        raise LettersRefused(
            f"no letter was set aside since {since} and before {until}: the earlier time is for --since, and "
            "the later one for --until"
        )
    found = parse_places(places or (), declared.dead_letter_topic)
    return Choice(processor, topic, error, begin, end, key, state, found)


def _required(choice: Choice, everything: bool, command: str) -> Choice:
    """The choice, if one was made.

    Raises:
        LettersRefused: none was, or two that exclude each other.
    """
    if choice.places and everything:
        raise LettersRefused("--all is for all open letters, and some are named: say one of the two.")
    if choice.is_all and not everything:
        raise LettersRefused(
            f"say which letters: by their places (`holdfast dlq {command} 3@17`), by a filter such as "
            "--processor, or --all for all open ones. --dry-run shows which they are. Nothing was changed."
        )
    return choice


def _show_choice(declared: Topology, servers: str, choice: Choice, as_json: bool, *, redriven: bool) -> None:
    with _box(declared, servers) as box:
        still, left_out = open_ones(choice, box.find(replace(choice, state=None)))
    totals = Totals()
    shown = _newest(iter(still), totals, None)
    letters = [it.letter for it in shown]
    if redriven:
        require_takers(declared, letters)
    if wants_json(as_json):
        print_json_lines([*map(letter_row, shown), *totals.rows()])
    else:
        _print(shown, totals)
    _tell_left_out(left_out)
    if redriven:
        _tell(on_order(declared, (it.processor for it in letters)))
    if not letters:
        _tell(on_nothing(declared, choice))
    err.print(
        f"{counted(totals.total, 'letter')} would be {'redriven' if redriven else 'discarded'}; nothing was "
        "changed."
    )


@contextmanager
def _box(declared: Topology, servers: str) -> Iterator[LetterBox]:
    with ScanProgress() as progress:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        yield LetterBox(declared, servers, scanner)


def _deal(
    declared: Topology,
    servers: str,
    deal: Callable[[Redriver], None],
    what: Literal["redriven", "discarded"],
    rate: float | None = None,
    *,
    new_keys: bool = False,
) -> Done:
    """Do it, as the only one who does. Ctrl-C ends it between two letters, or gives the open batch up."""
    pacer = (lambda: Pacer(rate).wait) if rate is not None else None
    with _box(declared, servers) as box:
        topics, noted = TopicAdmin(servers, declared.kafka), declared.dispositions()
        if not topics.topics([noted.name]):
            topics.create([noted])
        largest = max(int(it.config.get(MAX_BYTES, BROKER_MAX_BYTES)) for it in declared.topics.values())
        with LetterWriter(declared.dlq_id, servers, declared.kafka, largest=largest + CAUSE_BYTES) as writer:
            redriver = Redriver(declared, servers, box, writer, by=who(), new_keys=new_keys, pacer=pacer)
            try:
                deal(redriver)
            except KeyboardInterrupt:
                total = counted(redriver.done.letters.total(), "letter")
                err.print(f"\n[yellow]interrupted:[/] {total} {what}; the others are as before.")
                raise typer.Exit(INTERRUPTED) from None
            return redriver.done


def _tell_left_out(count: int) -> None:
    if count:
        err.print(f"{counted(count, 'letter')} had been dealt with before.")


def _report(declared: Topology, choice: Choice, done: Done, what: str, as_json: bool) -> None:
    """Say what was done: the numbers as a result, the rest as remarks."""
    if wants_json(as_json):
        print_json_lines([{"processor": name, what: count} for name, count in sorted(done.letters.items())])
    total = done.letters.total()
    if total:
        err.print(f"{counted(total, 'letter')} {what}.")
    elif done.left_out or choice.is_all:
        err.print(f"nothing was left to be {what}.")
    else:
        err.print(f"no open letter fits, so nothing was {what}.")
    _tell_left_out(done.left_out)
    if not total:
        _tell(on_nothing(declared, choice))
    for letter in done.failed:
        err.print(
            f"[red]failed again:[/] {escape(letter.name)} ({escape(letter.origin.topic)}, tries: "
            f"{letter.attempts}): {escape(letter.text)}"
        )
    if done.waiting:
        err.print(f"{counted(done.waiting, 'letter')} still wait for others of their keys.")
    if done.is_late:
        err.print(
            "[yellow]not all of them were handled within that time.[/] If no worker runs (`holdfast groups` "
            "shows it) they wait for the next `holdfast run`.",
            highlight=False,
            soft_wrap=True,
        )


def _now() -> int:
    return int(time.time() * 1000)


def register(app: typer.Typer) -> None:
    """Add `dlq`."""
    app.add_typer(dlq)

"""`holdfast publish`: events from a file or from standard input."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import typer
from rich.markup import escape

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import INTERRUPTED, err
from holdfast.cli.publish_input import CsvEvents, Line, LineReader, json_lines
from holdfast.cli.publish_report import ProgressBar, Refusals, print_result
from holdfast.cli.rate import Pacer, parse_rate
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.errors import EventRefused
from holdfast.kafka.producer import Producer, PublishStats
from holdfast.schema import Event
from holdfast.schema.event import parse_wire_type
from holdfast.topology import ResolvedTopic, load, resolve

SOME_REFUSED = 4
"""Exit code when everything was published except for refused lines."""


class Format(StrEnum):
    """Formats of the input."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(slots=True)
class Job:
    """One run of the command.

    Attributes:
        producer: where events go; closed by `run`.
        topic: the topic's name.
        lines: the input, read through `reader`.
        refusals: takes refused lines.
        pacer: keeps the rate; None for as fast as possible.
        strict: stop at the first refused line.
        limit: stop after so many events.
    """

    producer: Producer
    topic: str
    reader: LineReader
    lines: Iterable[Line]
    refusals: Refusals
    pacer: Pacer | None = None
    strict: bool = False
    limit: int | None = None

    def run(self, progress: ProgressBar) -> None:
        """Publish all lines, wait until they are acknowledged, and tell what became of them.

        Raises:
            PublishError: the brokers did not acknowledge an event.
            KeyboardInterrupt: after Ctrl-C or SIGTERM; what was published until then was flushed.
        """
        started = time.monotonic()
        try:
            with _sigterm_like_ctrl_c(), self.producer, progress:
                self._publish_lines(progress)
        finally:
            print_result(self.topic, self.producer.stats, self.refusals.count, time.monotonic() - started)

    def _publish_lines(self, progress: ProgressBar) -> None:
        count = 0
        for line in self.lines:
            if self._accept(line):
                count += 1
            elif self.strict:
                return
            progress.update(count, self.reader.bytes_read)
            if count == self.limit:
                return

    def _accept(self, line: Line) -> bool:
        if line.event is None:
            self.refusals.add(line)
            return False
        if self.pacer:
            self.pacer.wait()
        try:
            self.producer.publish(line.event, self.topic)
        except EventRefused as error:
            self.refusals.add(line._replace(reason=str(error)))
            return False
        return True


def register(app: typer.Typer) -> None:
    """Add `publish` to `app`."""
    app.command("publish")(publish)


def publish(
    topic: str = typer.Argument(metavar="TOPIC", help="The topic, as it is named in the topology."),
    source: str = typer.Option(..., "--from", metavar="FILE|-", help="The input; - is standard input."),
    format_: Format | None = typer.Option(
        None,
        "--format",
        metavar="jsonl|csv",
        help="The input's format; told by the file's suffix unless given, else jsonl.",
    ),
    type_: str | None = typer.Option(
        None,
        "--type",
        metavar="EVENT",
        help="The event's name, if the topic has several; Name.v1 for old JSON.",
    ),
    rate: str | None = typer.Option(None, metavar="N/s", help="Publish at most so many events per second."),
    limit: int | None = typer.Option(None, metavar="N", min=1, help="Stop after so many events."),
    strict: bool = typer.Option(False, "--strict", help="Stop at the first refused line."),
    refused: Path | None = typer.Option(
        None,
        "--refused",
        metavar="FILE",
        dir_okay=False,
        help="Write all refused lines to this file, as JSON lines.",
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
) -> None:
    """Publish events from a file: one JSON object on each line, or CSV with a header row.

    Exit code 0 if all lines were published, 4 if some were refused, 1 if an event was not delivered.
    """
    per_second = parse_rate(rate)
    declared = load(topology)
    target = resolve(declared, only=[f"topics.{topic}"]).topics[topic]
    event_type, version = _event_type(target, type_)
    csv = _format(source, format_) is Format.CSV
    if csv and version is not None:
        raise typer.BadParameter("--type names a version, but CSV rows are always read as the current one.")
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    producer = Producer.for_topics([target], servers, source=declared.app, properties=declared.kafka)
    producer.check()
    with _open(source) as stream, Refusals(refused) as refusals:
        reader = LineReader(stream)
        lines: Iterable[Line] = _csv(reader, event_type) if csv else json_lines(reader, event_type, version)
        pacer = Pacer(per_second) if per_second else None
        job = Job(producer, topic, reader, lines, refusals, pacer, strict, limit)
        try:
            job.run(ProgressBar(_size(stream)))
        except KeyboardInterrupt:
            err.print(f"[yellow]interrupted:[/] {_what_became(producer.stats)}")
            raise typer.Exit(INTERRUPTED) from None
    if refusals.count:
        raise typer.Exit(SOME_REFUSED)


def _what_became(stats: PublishStats) -> str:
    left = stats.failed + stats.waiting
    if left:
        return f"of what had been read until then {counted(left, 'event')} may not be there."
    return "what had been read until then was published."


def _event_type(topic: ResolvedTopic, name: str | None) -> tuple[type[Event], int | None]:
    """Return the event class that ``--type`` names, and the version if it names one.

    Raises:
        typer.BadParameter: the topic has no such event, or several and none is named.
    """
    known = {event.__event_name__: event for event in topic.events}
    if name is None:
        if len(known) > 1:
            raise typer.BadParameter(
                f"{topic.decl.name} has several events; say --type {' or '.join(known)}."
            )
        return topic.events[0], None
    base, version = parse_wire_type(name.encode())
    event = known.get(base)
    if event is None:
        raise typer.BadParameter(f"{topic.decl.name} has no event {base}; it has {', '.join(known)}.")
    if version is not None and not event.__event_oldest__ <= version <= event.__event_version__:
        raise typer.BadParameter(
            f"{base} has versions {event.__event_oldest__} to {event.__event_version__}, not {version}."
        )
    return event, version


def _format(source: str, given: Format | None) -> Format:
    if given is not None:
        return given
    return Format.CSV if Path(source).suffix.lower() == ".csv" else Format.JSONL


def _csv(reader: LineReader, event_type: type[Event]) -> CsvEvents:
    rows = CsvEvents(reader, event_type)
    if rows.ignored:
        columns = escape(", ".join(rows.ignored))
        err.print(f"[yellow]ignored columns:[/] {columns} (no field of {event_type.__event_name__})")
    return rows


@contextmanager
def _open(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = open(source, "rb")  # noqa: SIM115 - closed below; only the opening is inside the `try`
    except OSError as error:
        raise typer.BadParameter(f"{source} cannot be read: {error.strerror}.") from error
    with stream:
        yield stream


def _size(stream: BinaryIO) -> int | None:
    """Return the size of a regular file; None for a pipe or a terminal."""
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the run in the same orderly way as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

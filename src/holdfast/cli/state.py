"""`holdfast state`: a look into the tables of a processor."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import typer
from rich.markup import escape

from holdfast.cli.app import App
from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err, out
from holdfast.cli.rows import (
    AsJson,
    plain_table,
    print_table,
    wants_json,
)
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.errors import BrokersUnreachable, NoSuchKey, StateError
from holdfast.kafka.offsets import CALL_S
from holdfast.kafka.partitioner import partition_of
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.scan import SCAN_GROUP, LogScanner
from holdfast.kafka.settings import consumer_config
from holdfast.kafka.topic_reader import as_text, fold, look_up, stateful
from holdfast.local.folders import home
from holdfast.record import TopicPartition
from holdfast.runtime.local_view import read_local
from holdfast.topology import Topology, load
from holdfast.topology.model import ProcessorDecl

SHOWN = 100
"""Rows of a table that a terminal shows unless asked for more."""

_POLL_S = 0.2

Processor = typer.Argument(metavar="PROCESSOR", help="The processor, as it is named in the topology.")
TableName = typer.Argument(metavar="TABLE", help="One of its tables.")

state = App(name="state", help="Look into a processor's tables, as they are committed.", no_args_is_help=True)


@state.command("list")
def state_list(
    processor: str = Processor,
    table: str = TableName,
    prefix: str = typer.Option("", "--prefix", metavar="START", help="Only keys that start so."),
    limit: int | None = typer.Option(
        None,
        "--limit",
        "-n",
        metavar="N",
        min=1,
        help=f"At most so many rows; {SHOWN} in a terminal unless given.",
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Show a table's keys and values, in the order of the keys."""
    declared = load(topology)
    changelog = stateful(declared, processor, table).changelog(table)
    with ScanProgress() as progress:
        scanner = _scanner(declared, bootstrap_servers, progress)
        require_changelog(scanner, changelog)
        found = fold(scanner.topic(changelog))
    start = _as_bytes(prefix)
    keys = [key for key in found if key.startswith(start)]
    most = limit or (SHOWN if out.is_terminal else len(keys))
    chosen = heapq.nsmallest(most, keys) if most < len(keys) else sorted(keys)
    if wants_json(as_json):
        # The values are JSON already: they are printed as they are kept, digit for digit.
        for key in chosen:
            sys.stdout.write(f'{{"key": {json.dumps(as_text(key))}, "value": {found[key].decode()}}}\n')
        return
    shown = plain_table("key", "value")
    for key in chosen:
        shown.add_row(escape(as_text(key)), escape(found[key].decode()))
    print_table(shown)
    if len(chosen) < len(keys):
        err.print(f"[dim]{len(chosen):,} of {counted(len(keys), 'key')}; --limit shows more.[/]")


@state.command("get")
def state_get(
    processor: str = Processor,
    table: str = TableName,
    key: str = typer.Argument(metavar="KEY", help="The key, as text."),
    wait: float = typer.Option(
        0.0, "--wait", metavar="SECONDS", help="Wait so long for a value, if there is none yet."
    ),
    local: bool = typer.Option(
        False,
        "--local",
        help="Read the stores of this machine's workers, standbys too, and tell how far they are behind.",
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
) -> None:
    """Show the value under one key, as JSON; exit code 1 if there is none."""
    declared = load(topology)
    owner = stateful(declared, processor, table)
    if local:
        _get_local(declared, owner, table, key, resolve_bootstrap_servers(bootstrap_servers, declared))
        return
    with ScanProgress() as progress:
        scanner = _scanner(declared, bootstrap_servers, progress)
        partitions = require_changelog(scanner, owner.changelog(table))
        changelog = owner.changelog(table)
        value = _await(lambda: look_up(scanner, changelog, _as_bytes(key), partitions), wait)
    if value is None:
        raise _no_such_key(processor, table, key)
    if out.is_terminal:
        out.print_json(value.decode())
    else:
        sys.stdout.write(value.decode() + "\n")


def _get_local(declared: Topology, owner: ProcessorDecl, table: str, key: str, servers: str) -> None:
    """Show what the newest store of this machine holds, and how far it is behind the changelog."""
    changelog = owner.changelog(table)
    settings = reader_settings(consumer_config(servers, SCAN_GROUP, declared.kafka))
    with contextlib.closing(PartitionReader(settings)) as reader:
        facts = reader.topics([changelog], CALL_S)[changelog]
        partition = partition_of(_as_bytes(key), facts.partitions)
        folder = home() / "state" / declared.app / owner.full_name
        found = read_local(folder, table, facts.id, _as_bytes(key), partition)
        if found is None:
            raise StateError(
                f"no worker of this machine has shard {partition} of {owner.name}, where the key belongs "
                f"({folder}). Without --local the changelog is read."
            )
        end = reader.bounds(TopicPartition(changelog, partition), CALL_S)[1]
    if found.value is None:
        raise _no_such_key(owner.name, table, key)
    about = {"slot": found.slot, "shard": partition, "behind": max(end - found.position, 0)}
    sys.stdout.write(f'{{"value": {found.value.decode()}, {json.dumps(about)[1:]}\n')


def _as_bytes(argument: str) -> bytes:
    """A key as it was given: bytes that are no UTF-8 come in arguments as surrogates."""
    return os.fsencode(argument)


def _no_such_key(processor: str, table: str, key: str) -> NoSuchKey:
    return NoSuchKey(
        f'the table "{table}" of {processor} holds nothing under the key "{as_text(_as_bytes(key))}". '
        f"`holdfast state list {processor} {table}` shows what it holds."
    )


def _await(look: Callable[[], bytes | None], seconds: float) -> bytes | None:
    """Look until there is a value or the time is over; brokers that are away meanwhile may come back."""
    deadline = time.monotonic() + seconds
    while True:
        value = None
        try:
            value = look()
        except BrokersUnreachable:
            if time.monotonic() >= deadline:
                raise
        left = deadline - time.monotonic()
        if value is not None or left <= 0:
            return value
        time.sleep(min(_POLL_S, left))


def _scanner(declared: Topology, option: str | None, progress: ScanProgress) -> LogScanner:
    servers = resolve_bootstrap_servers(option, declared)
    return LogScanner(servers, declared.kafka, on_progress=progress.update)


def require_changelog(scanner: LogScanner, changelog: str) -> int:
    """The number of partitions of a changelog, which is there once the topology was applied."""
    places = scanner.offsets.partitions([changelog]).get(changelog)
    if places is None:
        raise StateError(
            f"the cluster has no changelog {changelog}. Is it the right cluster? `holdfast apply` creates it."
        )
    return len(places)


def register(app: typer.Typer) -> None:
    """Add `state`."""
    app.add_typer(state)

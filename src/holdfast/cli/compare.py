"""`holdfast compare`: what a shadow made, beside what the live version made of the same records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err
from holdfast.cli.replay_into import the_live_one
from holdfast.cli.rows import AsJson, plain_table, print_json_lines, print_table, wants_json
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.standstill import native, versions
from holdfast.cli.state import Processor
from holdfast.cli.state_compare import First, compare_tables, print_differences, shown_value
from holdfast.cli.topology import TopologyFile
from holdfast.errors import ReplayRefused
from holdfast.kafka.positions import Role
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.standing import standing
from holdfast.kafka.topic_reader import as_text
from holdfast.kafka.versions import KnownVersion
from holdfast.record import TopicPartition
from holdfast.runtime.output_diff import OutputDiff, Written, compare_outputs, written
from holdfast.runtime.replay_steps import inputs_of
from holdfast.runtime.state_diff import Comparison
from holdfast.topology import ProcessorDecl, Topology, load

NOT_ALL = 3
"""Exit code: nothing differs, but not everything could be compared."""

Offsets = Mapping[TopicPartition, int | None]


@dataclass(frozen=True, slots=True)
class _Sides:
    """The two versions, with where they stood before and after they were compared."""

    live: KnownVersion
    shadow: KnownVersion
    before: tuple[Offsets, Offsets]
    after: tuple[Offsets, Offsets]

    @property
    def are_level(self) -> bool:
        """Whether both have handled the same records, and nothing else meanwhile."""
        return self.before[0] == self.before[1] == self.after[0] == self.after[1]

    def may_be_ahead(self, side: int) -> bool:
        """Whether a version may have handled records that the other one has not."""
        other = self.before[1 - side]
        return any((offset or 0) > (other[place] or 0) for place, offset in self.after[side].items())


def compare(
    processor: str = Processor,
    first: int = First,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Compare the topology's version, a shadow, with the live one: outputs and tables."""
    declared = load(topology)
    owner = native(declared, processor)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    found = versions(declared, owner, servers, only_look=True)
    live, shadow = the_live_one(owner, found), _require_shadow(owner, found)
    alone = [name for name in owner.writes if _is_alone(declared, owner, name)]
    diffs = dict(_outputs(declared, owner, alone, servers, first))
    tables, left_out = _shared_tables(declared, live.decl, owner, servers)
    pairs = (live.decl, owner)
    same = dict(compare_tables(declared, pairs, tables, servers, None, first))
    sides = _Sides(live, shadow, _offsets(live, shadow), _now(declared, owner, live, shadow, servers))
    if not sides.are_level:
        left_out, same = [*owner.tables, *alone], {}
    rows = [*_position_rows(sides), *map(_output_row, diffs.items()), *map(_table_row, same.items())]
    _print(rows, as_json)
    differs = any(_differs(it, sides) for it in diffs.values()) or any(not it.same for it in same.values())
    shared = [f"{name} (others write to it, too)" for name in owner.writes if name not in alone]
    why = "only the shadow has it" if sides.are_level else "not at the same positions"
    missing = [*shared, *(f"{table} ({why})" for table in left_out)]
    compared = any(it.equal + it.differ for it in diffs.values()) or bool(same)
    _tell(sides, differs=differs, missing=missing, compared=compared)
    if differs or missing:
        raise typer.Exit(1 if differs else NOT_ALL)


def _require_shadow(owner: ProcessorDecl, found: Sequence[KnownVersion]) -> KnownVersion:
    for it in found:
        if it.decl.group_id == owner.group_id and it.role is Role.SHADOW:
            return it
    known = ", ".join(f"{it.name} ({it.role.value})" for it in found)
    raise ReplayRefused(
        f"{owner.version_name} of {owner.name} is not a shadow (known: {known}). What is compared is the "
        "version in the topology, after `holdfast replay --into`; --topology names its file."
    )


def _is_alone(declared: Topology, owner: ProcessorDecl, topic: str) -> bool:
    """Whether nobody else of the application writes to a topic: what is there is the processor's."""
    writers = [*declared.processors.values(), *declared.producers.values(), *declared.leader_tasks.values()]
    return not any(topic in it.writes and it is not owner for it in writers)


def _outputs(
    declared: Topology, owner: ProcessorDecl, topics: Sequence[str], servers: str, first: int
) -> Iterator[tuple[str, OutputDiff]]:
    """Compare what is on each declared topic with what the shadow wrote."""
    with ScanProgress() as progress:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        for name in topics:
            decl = declared.topic(name)
            # Without a key a record may be in any partition.
            parts = [None] if decl.key is None else list(range(decl.partitions))
            diff = OutputDiff()
            for part in parts:
                live, shadow = (_scan(scanner, it, part) for it in (name, owner.shadow(name)))
                diff = diff.plus(compare_outputs(live, shadow, first), first)
            yield name, diff


def _scan(scanner: LogScanner, topic: str, partition: int | None) -> Iterator[Written]:
    chosen = None if partition is None else TopicPartition(topic, partition).__eq__
    return map(written, scanner.topic(topic, chosen))


def _shared_tables(
    declared: Topology, live: ProcessorDecl, owner: ProcessorDecl, servers: str
) -> tuple[list[str], list[str]]:
    """Tables that both versions have, and those that only the shadow has."""
    names = {table: live.changelog(table) for table in owner.tables}
    there = LogScanner(servers, declared.kafka).offsets.partitions(list(names.values()))
    shared = [table for table, name in names.items() if there.get(name)]
    return shared, [it for it in owner.tables if it not in shared]


def _offsets(*sides: KnownVersion) -> tuple[Offsets, Offsets]:
    left, right = (it.stands.positions for it in sides)
    return left, right


def _now(
    declared: Topology, owner: ProcessorDecl, live: KnownVersion, shadow: KnownVersion, servers: str
) -> tuple[Offsets, Offsets]:
    """Where both stand now."""
    places = inputs_of(declared, owner)
    left, right = (
        standing(it.decl.group_id, places, servers, declared.kafka).positions for it in (live, shadow)
    )
    return left, right


def _differs(diff: OutputDiff, sides: _Sides) -> bool:
    """Whether outputs differ, other than in those that one version has not come to yet."""
    only = (diff.only_live, diff.only_shadow)
    return bool(diff.differ) or any(only[side] and not sides.may_be_ahead(side) for side in (0, 1))


def _position_rows(sides: _Sides) -> Iterator[dict[str, Any]]:
    for place in sorted(sides.before[0]):
        live, shadow = (each[place] for each in sides.after)
        yield {
            "type": "position",
            "input": place.topic,
            "partition": place.partition,
            "live": live,
            "shadow": shadow,
        }


def _output_row(found: tuple[str, OutputDiff]) -> dict[str, Any]:
    name, it = found
    return {
        "type": "outputs",
        "name": name,
        "equal": it.equal,
        "differ": it.differ,
        "only_live": it.only_live,
        "only_shadow": it.only_shadow,
        "differences": [
            {
                "key": shown_value(pair.live.key),
                "live": shown_value(pair.live.value),
                "shadow": shown_value(pair.shadow.value),
            }
            for pair in it.first
        ],
    }


def _table_row(found: tuple[str, Comparison]) -> dict[str, Any]:
    name, it = found
    return {
        "type": "table",
        "name": name,
        "equal": it.equal,
        "differ": it.differ,
        "only_live": it.only_left,
        "only_shadow": it.only_right,
        "differences": [
            {"key": as_text(each.key), "live": shown_value(each.left), "shadow": shown_value(each.right)}
            for each in it.first
        ],
    }


def _print(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if wants_json(as_json):
        print_json_lines(rows)
        return
    numbers = ("partition", "live", "shadow")
    shown = plain_table("input", *numbers, numbers=numbers)
    for row in rows:
        if row["type"] == "position":
            shown.add_row(escape(row["input"]), *(str(row[name]) for name in numbers))
    print_table(shown)
    counts = ("equal", "differ", "only_live", "only_shadow")
    found = [row for row in rows if row["type"] != "position"]
    shown = plain_table("", "name", *counts, numbers=counts)
    for row in found:
        shown.add_row(row["type"], escape(row["name"]), *(f"{row[name]:,}" for name in counts))
    print_table(shown)
    print_differences(found, "name", ("live", "shadow"))


def _tell(sides: _Sides, *, differs: bool, missing: Sequence[str], compared: bool) -> None:
    """The verdict in words."""
    live, shadow = sides.live.name, sides.shadow.name
    if not sides.are_level:
        err.print(
            f"{live} and {shadow} have not handled the same records, or one is at work. Of the outputs those "
            "that both have come to are compared (what only one has is counted, but is no difference), of "
            "the tables nothing: for that stop both where they stand at the same positions.",
            markup=False,
        )
    if missing:
        err.print(f"not compared: {', '.join(missing)}", markup=False)
    if not compared and missing:
        verdict = "there is nothing yet that both have"
    else:
        verdict = "they differ" if differs else "nothing differs" if missing else "they are the same"
    err.print(f"{shadow} beside {live}: {verdict}", markup=False)


def register(app: typer.Typer) -> None:
    """Add `compare`."""
    app.command()(compare)

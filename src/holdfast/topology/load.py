"""Reading a topology file: strict, and with every problem in one report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from holdfast.declaration.source import Location, Parsed, Problem, Source, content_of, parse
from holdfast.errors import TopologyErrors
from holdfast.topology.check import cross_check
from holdfast.topology.declared import SOURCE
from holdfast.topology.mend import NO_TOPICS, covers, mend
from holdfast.topology.model import Topology
from holdfast.topology.translate import location, problems_of

DEFAULT_FILE = Path("topology.yaml")
"""The file that is read where no other is named."""

_NEEDED = "`app` and `topics`"


class Draft(NamedTuple):
    """What could be made of a file.

    Attributes:
        topology: the declaration without its unusable parts; None if nothing could be used.
        source: the file with its lines.
        problems: everything that is wrong in the file itself.
        mended: the places whose content stands in for something unusable.
    """

    topology: Topology | None
    source: Source
    problems: tuple[Problem, ...]
    mended: frozenset[Location] = frozenset()


def load(path: Path = DEFAULT_FILE) -> Topology:
    """Read a topology file.

    Imports nothing of the application; `resolve` does that.

    Raises:
        TopologyErrors: the file cannot be read or holds mistakes; all of them are in the report.
    """
    draft = read(path)
    if draft.problems or draft.topology is None:
        raise TopologyErrors(draft.source.report(draft.problems))
    return draft.topology


def read(path: Path) -> Draft:
    """Read a topology file as far as it is usable, for a report that goes on past its mistakes.

    Raises:
        TopologyError: the file cannot be read at all.
    """
    return build(parse(content_of(path, TopologyErrors), path, _NEEDED))


def build(parsed: Parsed) -> Draft:
    """Turn plain data into a declaration; never raises for what the data holds."""
    data, source, problems = parsed
    if not isinstance(data, dict):
        wrong = () if problems else (Problem((), f"expected a mapping with {_NEEDED}"),)
        return Draft(None, source, (*problems, *wrong))
    source = replace(source, written=_single_events(source))
    data, forgotten = _assume_faust(data)
    topology, invalid, mended = _validate({**data, SOURCE: source})
    crossed = _cross_check(topology, data, mended) if topology else ()
    return Draft(topology, source, (*problems, *forgotten, *invalid, *crossed), mended)


def _single_events(source: Source) -> dict[Location, Location]:
    """A topic's only event may be written as `event`."""
    single = [at for at in source.lines if at[:1] == ("topics",) and at[2:] == ("event",)]
    return {(*at[:2], "events", 0): at for at in single}


def _assume_faust(data: dict[str, Any]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Add the runtime where it was forgotten, so that the entry is checked as what it is meant to be."""
    processors = data.get("processors")
    if not isinstance(processors, dict):
        return data, ()
    forgotten = {
        name: {**entry, "runtime": "faust"}
        for name, entry in processors.items()
        if isinstance(entry, dict) and "agent" in entry and not {"runtime", "handler"} & set(entry)
    }
    text = "unknown key without `runtime: faust`; add `runtime: faust` beside it"
    problems = tuple(Problem(("processors", name, "agent"), text) for name in forgotten)
    return {**data, "processors": {**processors, **forgotten}}, problems


def _validate(data: dict[str, Any]) -> tuple[Topology | None, tuple[Problem, ...], frozenset[Location]]:
    """Validate; mend what is mistaken, so that the rest can be checked further."""
    problems: tuple[Problem, ...] | None = None
    mended: set[Location] = set()
    # Entries whose runtime is unknown: only the second validation says what else is wrong in them.
    hidden: set[Location] = set()
    # First single values, twice because of what one mistake hides; then keys, entries and whole sections.
    for depth in (4, 4, 3, 2, 1, 1):
        try:
            topology = Topology.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False)
            if problems is None:
                problems = problems_of(error)
                hidden = {location(each)[:2] for each in details if each["type"] == "union_tag_invalid"}
            else:
                problems += tuple(_of_entries(problems_of(error), hidden))
                hidden = set()
            for detail in details:
                data, at = mend(data, detail, depth)
                mended.add(at)
            data.setdefault("app", "app")
        else:
            if data["topics"] is NO_TOPICS:
                topology = topology.model_copy(update={"topics": {}})
            return topology, problems or (), frozenset(mended)
    return None, problems or (), frozenset(mended)


def _of_entries(problems: Iterable[Problem], entries: Collection[Location]) -> Iterator[Problem]:
    """Yield what is wrong in processors whose runtime is unknown; whether they need a handler is, too."""
    for problem in problems:
        needs_handler = problem.at[2:] == ("handler",) and problem.text.startswith("missing")
        if problem.at[:2] in entries and not needs_handler:
            yield problem


def _cross_check(
    topology: Topology, data: Mapping[str, Any], mended: frozenset[Location]
) -> tuple[Problem, ...]:
    """Check across the entries, with what the file itself says alone."""
    topics = {
        name: topic
        for name, topic in topology.topics.items()
        if not covers(mended, ("topics", name, "partitions"))
    }
    usable = topology.model_copy(update={"topics": topics})
    found = cross_check(usable, _names(data, "topics"), _names(data, "sinks"))
    return tuple(problem for problem in found if not covers(mended, problem.at))


def _names(data: Any, section: str) -> frozenset[str]:
    entries = data.get(section)
    return frozenset(entries) if isinstance(entries, dict) else frozenset()

"""Reading a topology file: strict, and with every problem in one report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from holdfast.errors import TopologyErrors
from holdfast.topology.check import cross_check
from holdfast.topology.model import SOURCE, Topology
from holdfast.topology.source import Location, Parsed, Problem, Source, parse
from holdfast.topology.translate import location, problems_of

DEFAULT_FILE = Path("topology.yaml")
"""The file that is read where no other is named."""


class Draft(NamedTuple):
    """What could be made of a file.

    Attributes:
        topology: the declaration without its unusable parts; None if nothing could be used.
        source: the file with its lines.
        problems: everything that is wrong in the file itself.
    """

    topology: Topology | None
    source: Source
    problems: tuple[Problem, ...]


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
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise TopologyErrors(
            (f"{path}: there is no such file; name one with --topology FILE, or go to its folder",)
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TopologyErrors((f"{path}: cannot be read: {reason}",)) from None
    return build(parse(content, path))


def build(parsed: Parsed) -> Draft:
    """Turn plain data into a declaration; never raises for what the data holds."""
    data, source, problems = parsed
    if isinstance(data, dict):
        topology, wrong = _validate({**data, SOURCE: source})
    elif problems:
        topology, wrong = None, ()
    else:
        topology, wrong = None, (Problem((), "expected a mapping with `app` and `topics`"),)
    crossed = cross_check(topology, _names(data, "topics")) if topology else ()
    return Draft(topology, source, (*problems, *wrong, *crossed))


def _validate(data: dict[str, Any]) -> tuple[Topology | None, tuple[Problem, ...]]:
    """Validate; on errors cut the unusable parts out, so that the rest can be checked further."""
    problems: tuple[Problem, ...] | None = None
    for depth in (3, 2, 1):  # first single keys; then entries that lack one; then whole sections
        try:
            return Topology.model_validate(data), problems or ()
        except ValidationError as error:
            problems = problems_of(error) if problems is None else problems
            for detail in error.errors(include_url=False):
                data = _cut(data, location(detail)[:depth])
            data.setdefault("app", "app")
    return None, problems or ()


def _cut(data: dict[str, Any], at: Location) -> dict[str, Any]:
    """Return the mapping without what stands at `at`."""
    key, rest = str(at[0]), at[1:]
    inner = data.get(key)
    if rest and isinstance(inner, dict):
        return {**data, key: _cut(inner, rest)}
    return {name: value for name, value in data.items() if name != key}


def _names(data: Any, section: str) -> frozenset[str]:
    entries = data.get(section)
    return frozenset(entries) if isinstance(entries, dict) else frozenset()

"""A YAML file as plain data, with the line of everything in it.

Stricter than YAML: keys are text and stand once, values are text, numbers, true, false,
lists and mappings, and there are no aliases (a value is where it is read).
"""

from __future__ import annotations

import difflib
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from holdfast.errors import HoldfastError

Location = tuple[str | int, ...]
"""The way to a value: keys of mappings and indexes of lists."""

_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}
_TIMESTAMP = "tag:yaml.org,2002:timestamp"

_NEAR = 0.65
"""How alike a known name has to be, from 0 to 1: two letters of three that are swapped are 0.67."""

_MOST_DIGITS = 4300
"""Python refuses to read, and to write, whole numbers of more."""

UNREADABLE = object()
"""Stands in the data for a value that a problem of the YAML itself was reported for."""


class Problem(NamedTuple):
    """One thing that is wrong in the file.

    Attributes:
        at: where; a location that is not in the file stands for its nearest parent.
        text: what is wrong and what would be right.
        line: the line, where it is another than that of `at` (a key that stands twice).
    """

    at: Location
    text: str
    line: int | None = None


@dataclass(frozen=True)
class Source:
    """The file that a declaration was read from.

    Attributes:
        path: the file, as the user named it.
        lines: line of each location, counted from 1.
        written: how the file writes a place that a model knows by another location.
    """

    path: Path
    lines: Mapping[Location, int] = field(default_factory=dict)
    written: Mapping[Location, Location] = field(default_factory=dict)

    def line(self, at: Location) -> int:
        """Return the line of `at` or of its nearest parent."""
        at = self.written.get(at, at)
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def report(self, problems: Iterable[Problem]) -> tuple[str, ...]:
        """Word the problems as `file:line: location: text`, in the order of the file, each once."""
        ordered = sorted(dict.fromkeys(problems), key=self._line_of)
        return tuple(self._word(problem) for problem in ordered)

    def _line_of(self, problem: Problem) -> int:
        return problem.line or self.line(problem.at)

    def _word(self, problem: Problem) -> str:
        label = dotted(self.written.get(problem.at, problem.at))
        text = f"{self.path}:{self._line_of(problem)}: {label}{': ' if label else ''}{problem.text}"
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def dotted(at: Location) -> str:
    """The way to a value as messages say it, such as `faults.0.target`."""
    return ".".join(map(str, at))


class Parsed(NamedTuple):
    """What a YAML text holds, and what is wrong with it as YAML.

    Attributes:
        data: the plain data; None if it is no YAML at all.
        source: the file with its lines.
        problems: duplicate keys and the like.
    """

    data: Any
    source: Source
    problems: tuple[Problem, ...]


class _AliasError(yaml.MarkedYAMLError):
    """The file uses an alias."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses aliases, which could repeat without end."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            text = "aliases (*name) are not supported; write the value out"
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # the stubs leave it out
            raise _AliasError(None, None, text, mark)
        return super().compose_node(parent, index)


def is_stream(path: Path) -> bool:
    """Tell whether a path is a pipe, a socket or a device, of which nobody knows when it ends."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def content_of(path: Path, refusal: type[HoldfastError]) -> bytes:
    """Return what is in a file.

    Raises:
        HoldfastError: it cannot be read; a `refusal`, whose problems are one line.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        text = "there is no such file; give its path, or work in the folder that holds it"
    except (OSError, ValueError) as error:
        text = f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
    raise refusal((f"{path}: {text}",))


def parse(content: bytes, path: Path, needs: str = "") -> Parsed:
    """Turn the bytes of a YAML file into plain data; never raises for what they hold.

    Args:
        content: the bytes.
        path: the file, as the user named it.
        needs: which keys a file of this kind has at least, for one that is empty.
    """
    try:
        loader = _Loader(content)
        node = loader.get_single_node()
    except RecursionError:
        return _unreadable(path, 1, "not usable: nested too deeply")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f"{error.context}, " if str(error.problem).startswith("but ") else ""
        return _unreadable(path, mark.line + 1 if mark else 1, f"not valid YAML: {context}{error.problem}")
    except yaml.reader.ReaderError as error:
        line = content.count(b"\n", 0, error.position) + 1
        return _unreadable(path, line, f"not readable as text: {error.reason} at position {error.position}")
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        return _unreadable(path, 1, f"not valid YAML: {' '.join(str(error).split())}")
    if node is None:
        return _unreadable(path, 1, f"the file is empty{f'; it needs at least {needs}' if needs else ''}")
    builder = _Builder(loader)
    data = builder.build(node, ())
    return Parsed(data, Source(path, builder.lines), tuple(builder.problems))


def _unreadable(path: Path, line: int, text: str) -> Parsed:
    return Parsed(None, Source(path, {(): line}), (Problem((), text),))


class _Builder:
    """Builds plain data from nodes and notes lines and problems on the way."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, at: Location) -> Any:
        """Return the value of `node`, which stands at `at`."""
        self.lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*at, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, at)

    def _mapping(self, node: yaml.MappingNode, at: Location) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem((*at, "?"), line, "expected text as a key, got a list or mapping")
            elif key_node.value in built:
                here = (*at, key_node.value)
                text = f"the key stands twice; the first is in line {self.lines[here]}"
                self.problems.append(Problem(here, text, line))
            else:
                self.lines[(*at, key_node.value)] = line
                built[key_node.value] = self.build(value_node, (*at, key_node.value))
        return built

    def _scalar(self, node: yaml.Node, at: Location) -> Any:
        if node.tag == _TIMESTAMP:
            return node.value
        if node.tag not in _SCALARS:
            self._problem(at, node.start_mark.line + 1, f"the tag {node.tag} is not supported")
            return UNREADABLE
        try:
            return self._loader.construct_object(node)
        except (ValueError, KeyError, OverflowError, yaml.YAMLError):
            text = f"{show(node.value)} cannot be read; put it in quotes"
            if len(node.value) > _MOST_DIGITS:
                text = f"a number of {len(node.value)} digits cannot be read"
            self._problem(at, node.start_mark.line + 1, text)
            return UNREADABLE

    def _problem(self, at: Location, line: int, text: str) -> None:
        self.lines.setdefault(at, line)
        self.problems.append(Problem(at, text))


def show(value: object) -> str:
    """Word a value of the file for a message, cut to one short line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    try:
        text = str(value)
    except ValueError:  # a whole number of more than `_MOST_DIGITS`
        return "a very long number"
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f'"{text}"' if isinstance(value, str) else text


def did_you_mean(given: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `; did you mean "x"?` for the nearest known name, shown after `prefix`; or nothing."""
    near = difflib.get_close_matches(given, sorted(known), n=1, cutoff=_NEAR)
    return f'; did you mean "{prefix}{near[0]}"?' if near else ""

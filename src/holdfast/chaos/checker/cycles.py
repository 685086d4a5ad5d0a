"""Circles of dependencies between operations, named as Elle does (Kingsbury & Alvaro, VLDB 2020).

An edge means "must have come before": the target read what the source sent, wrote right behind it, follows
it in its process, or began after it had ended. A circle of them has no explanation by any order of
transactions. Edges in time would be quadratic in number; instead each end of an operation is a node in a
chain, which leads to whatever began later.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from holdfast.chaos.checker import spans
from holdfast.chaos.checker.components import Graph, components, shortest_circle
from holdfast.chaos.checker.spans import OVERWRITE, PROCESS, READ, TIME
from holdfast.chaos.history.database import Database

_ALL = frozenset({READ, OVERWRITE, PROCESS, TIME})


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle of operations: each edge is source, label, target."""

    edges: tuple[tuple[int, int, int], ...]


@dataclass(slots=True)
class Circles:
    """All circles of one kind: how many components hold one, and the shortest few."""

    count: int = 0
    shortest: list[Circle] = field(default_factory=list)

    def add(self, circle: Circle, keep: int) -> None:
        """Counts a circle, and keeps it if it is among the shortest."""
        self.count += 1
        self.shortest.append(circle)
        self.shortest.sort(key=lambda each: len(each.edges))
        del self.shortest[keep:]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Kinds of circles that share an edge's label, the strictest first: their names and edges' labels."""

    through: int
    levels: tuple[tuple[str, frozenset[int]], ...]


def _chain(name: str, through: int, *labels: int) -> _Chain:
    plain = frozenset(labels)
    return _Chain(
        through,
        (
            (name, plain),
            (f"{name}-process", plain | {PROCESS}),
            (f"{name}-realtime", plain | {PROCESS, TIME}),
        ),
    )


_READ_CIRCLES = _chain("G1c", READ, READ)
_MIXED_CIRCLES = _chain("G1c", READ, READ, OVERWRITE)
_WRITE_CIRCLES = _chain("G0", OVERWRITE, OVERWRITE)


def circles(database: Database, *, with_overwrites: bool, keep: int) -> dict[tuple[str, bool], Circles]:
    """All circles by their rule, and whether a write over a write is among their edges."""
    found: dict[tuple[str, bool], Circles] = {}
    if not spans.find(database, with_overwrites=with_overwrites):
        return found
    for ops, graph in _graphs(database):
        parts = [sorted(component) for component in components(graph)]
        for part, inner in zip(parts, graph.parts(parts, _ALL), strict=True):
            for name, mixed, edges in _named(inner):
                outer = [(part[a], part[b], label) for a, b, label in edges]
                circle = Circle(tuple(_without_clock(outer, ops)))
                found.setdefault((name, mixed), Circles()).add(circle, keep)
    return found


def _graphs(database: Database) -> Iterator[tuple[list[int], Graph]]:
    """The graph of each span; its first nodes are the given operations, the others are the chain of ends."""
    members = groupby(database.stream(spans.MEMBERS), key=itemgetter(0))
    links = groupby(database.stream(spans.LINKS), key=itemgetter(0))
    span, edges = next(links, (None, iter(())))
    for number, rows in members:
        operations = list(rows)
        graph = _with_clock([(began, ended) for _, _, began, ended in operations])
        if span == number:
            for _, source, target, label in edges:
                graph.add(source, target, label)
            span, edges = next(links, (None, iter(())))
        yield [op for _, op, _, _ in operations], graph


def _with_clock(times: Sequence[tuple[int, int | None]]) -> Graph:
    """The edges in time among operations.

    Each operation leads to the node of its end, each end to the next one, and the last end before an
    operation began leads to it.
    """
    ends = sorted({ended for _, ended in times if ended is not None})
    count = len(times)
    graph = Graph(count + len(ends))
    for operation, (began, ended) in enumerate(times):
        if ended is not None:
            graph.add(operation, count + bisect_left(ends, ended), TIME)
        before = bisect_left(ends, began)
        if before:
            graph.add(count + before - 1, operation, TIME)
    for number in range(count, count + len(ends) - 1):
        graph.add(number, number + 1, TIME)
    return graph


def _named(component: Graph) -> Iterator[tuple[str, bool, list[tuple[int, int, int]]]]:
    """A component's circles, of the strictest kind it has: rule, whether writes are in it, edges."""
    by_reads = list(_of_chain(component, _READ_CIRCLES))
    yield from ((name, False, edges) for name, edges in by_reads)
    if OVERWRITE not in set(component.labels):
        return
    if not by_reads:
        yield from ((name, True, edges) for name, edges in _of_chain(component, _MIXED_CIRCLES))
    yield from ((name, True, edges) for name, edges in _of_chain(component, _WRITE_CIRCLES))


def _of_chain(component: Graph, chain: _Chain) -> Iterator[tuple[str, list[tuple[int, int, int]]]]:
    for name, labels in chain.levels:
        level = component.parts([range(component.nodes)], labels)[0]
        parts = list(components(level))
        found = False
        for part, inner in zip(parts, level.parts(parts, labels), strict=True):
            edges = shortest_circle(inner, chain.through)
            if edges:
                found = True
                yield name, [(part[a], part[b], label) for a, b, label in edges]
        if found:
            return


def _without_clock(edges: list[tuple[int, int, int]], ops: list[int]) -> Iterator[tuple[int, int, int]]:
    """The edges between operations only: the way from one's end along the chain becomes one edge in time."""
    first = next(index for index, (source, _, _) in enumerate(edges) if source < len(ops))
    source = -1
    for a, b, label in edges[first:] + edges[:first]:
        if a < len(ops):
            source = ops[a]
        if b < len(ops):
            yield source, label, ops[b]

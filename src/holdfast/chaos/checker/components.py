"""Strongly connected components and shortest circles of a graph whose nodes are 0, 1, 2, ...

Tarjan, "Depth-first search and linear graph algorithms", 1972; without recursion, on flat arrays, so that a
graph of ten million nodes takes some hundred megabytes.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Graph:
    """A directed graph with labelled edges, which may be parallel; edges are added in any order."""

    nodes: int
    sources: array[int] = field(default_factory=lambda: array("i"))
    targets: array[int] = field(default_factory=lambda: array("i"))
    labels: array[int] = field(default_factory=lambda: array("b"))

    def add(self, source: int, target: int, label: int) -> None:
        """Adds an edge."""
        self.sources.append(source)
        self.targets.append(target)
        self.labels.append(label)

    def edges(self) -> Iterable[tuple[int, int, int]]:
        """All edges: source, target, label."""
        return zip(self.sources, self.targets, self.labels, strict=True)

    def parts(self, parts: Sequence[Sequence[int]], labels: Container[int]) -> list[Graph]:
        """The graphs of disjoint parts, each numbered in its order, with the edges that have some labels."""
        place = {node: (part, index) for part, nodes in enumerate(parts) for index, node in enumerate(nodes)}
        graphs = [Graph(len(nodes)) for nodes in parts]
        nowhere = (-1, -1)
        for source, target, label in self.edges():
            part, index = place.get(source, nowhere)
            other, end = place.get(target, nowhere)
            if part == other != -1 and label in labels:
                graphs[part].add(index, end, label)
        return graphs

    def adjacency(self) -> tuple[array[int], array[int]]:
        """Where each node's targets begin, and all targets, by source."""
        begin = array("i", bytes(4 * (self.nodes + 1)))
        for source in self.sources:
            begin[source + 1] += 1
        for node in range(self.nodes):
            begin[node + 1] += begin[node]
        place = array("i", begin)
        targets = array("i", bytes(4 * len(self.targets)))
        for source, target in zip(self.sources, self.targets, strict=True):
            targets[place[source]] = target
            place[source] += 1
        return begin, targets


def components(graph: Graph) -> Iterator[list[int]]:
    """The strongly connected components of more than one node."""
    begin, targets = graph.adjacency()
    cursor = array("i", begin)
    # 0: not visited; a node's number counts from 1. A finished one has the greatest number, so it lowers
    # nobody.
    number = array("i", bytes(4 * graph.nodes))
    lowest = array("i", bytes(4 * graph.nodes))
    finished = 2**31 - 1
    counter = 0
    stack: list[int] = []
    for root in range(graph.nodes):
        if number[root]:
            continue
        counter += 1
        number[root] = lowest[root] = counter
        stack.append(root)
        path = [root]
        while path:
            node = path[-1]
            at = cursor[node]
            if at < begin[node + 1]:
                cursor[node] = at + 1
                target = targets[at]
                if not number[target]:
                    counter += 1
                    number[target] = lowest[target] = counter
                    stack.append(target)
                    path.append(target)
                elif number[target] < lowest[node]:
                    lowest[node] = number[target]
                continue
            path.pop()
            if path and lowest[node] < lowest[path[-1]]:
                lowest[path[-1]] = lowest[node]
            if lowest[node] == number[node]:
                component = _popped(stack, node)
                for member in component:
                    number[member] = finished
                if len(component) > 1:
                    yield component


def _popped(stack: list[int], until: int) -> list[int]:
    out = []
    while True:
        out.append(stack.pop())
        if out[-1] == until:
            return out


def shortest_circle(graph: Graph, through: int, tries: int = 32) -> list[tuple[int, int, int]]:
    """The edges of a short circle with an edge of the label `through`; empty if there is none.

    It is the shortest of those through the first `tries` such edges that are in circles.
    """
    neighbours: dict[int, list[tuple[int, int]]] = {}
    for source, target, label in graph.edges():
        neighbours.setdefault(source, []).append((target, label))
    best: list[tuple[int, int, int]] = []
    for source, target, label in graph.edges():
        if label != through:
            continue
        way = _shortest_way(neighbours, target, source)
        if way is None:
            continue
        circle = [(source, target, label), *way]
        if not best or len(circle) < len(best):
            best = circle
        tries -= 1
        if not tries:
            break
    return best


def _shortest_way(
    neighbours: dict[int, list[tuple[int, int]]], start: int, goal: int
) -> list[tuple[int, int, int]] | None:
    came: dict[int, tuple[int, int] | None] = {start: None}
    queue = deque([start])
    while queue and goal not in came:
        node = queue.popleft()
        for target, label in neighbours.get(node, ()):
            if target not in came:
                came[target] = (node, label)
                queue.append(target)
    if goal not in came:
        return None
    way: list[tuple[int, int, int]] = []
    node = goal
    while (step := came[node]) is not None:
        way.append((step[0], node, step[1]))
        node = step[0]
    return way[::-1]

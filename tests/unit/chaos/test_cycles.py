"""Circles of dependencies: found where they are, named by the weakest order that they need, and explained."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.chaos.checker import Options, Validity, cycles, facts
from holdfast.chaos.checker.components import Graph, components, shortest_circle
from holdfast.chaos.checker.spans import PROCESS, TIME
from holdfast.chaos.history import Bounds, Operation, Outcome, read, send
from holdfast.chaos.history.database import Database
from tests.support.stories import Story, sealed, uncommitted, verdict


def x(value: int, offset: int | None = None):
    return send("x", value, offset=offset)


def y(value: int, offset: int | None = None):
    return send("y", value, offset=offset)


def rx(value: int, offset: int | None = None):
    return read("x", value, offset=offset)


def ry(value: int, offset: int | None = None):
    return read("y", value, offset=offset)


CIRCLES: dict[str, Story] = {
    "G1c": Story()
    .ok("a", "txn", ry(2, 0), x(1, 0), at=(10, 50))
    .ok("b", "txn", rx(1, 0), y(2, 0), at=(20, 40)),
    "G1c-process": Story()
    .ok("a", "txn", ry(2, 0), at=(10, 50))
    .ok("a", "txn", x(1, 0), at=(60, 80))
    .ok("b", "txn", rx(1, 0), y(2, 0), at=(5, 90)),
    "G1c-realtime": Story()
    .ok("a", "txn", ry(2, 0), at=(10, 50))
    .ok("c", "txn", x(1, 0), at=(60, 80))
    .ok("b", "txn", rx(1, 0), y(2, 0), at=(5, 90)),
}

WRITE_CIRCLES: dict[str, Story] = {
    "G0": Story()
    .ok("a", "txn", x(1, 0), y(2, 1), at=(10, 50))
    .ok("b", "txn", y(3, 0), x(4, 1), at=(20, 40))
    .ok("r", "poll", rx(1, 0), rx(4, 1), ry(3, 0), ry(2, 1), at=(60, 70)),
    "G0-process": Story()
    .ok("a", "txn", x(1, 1), at=(10, 20))
    .ok("a", "txn", y(2, 0), at=(30, 40))
    .ok("b", "txn", x(3, 0), y(4, 1), at=(5, 50))
    .ok("r", "poll", rx(3, 0), rx(1, 1), ry(2, 0), ry(4, 1), at=(60, 70)),
    "G0-realtime": Story()
    .ok("a", "txn", x(1, 1), at=(10, 20))
    .ok("c", "txn", y(2, 0), at=(30, 40))
    .ok("b", "txn", x(3, 0), y(4, 1), at=(5, 50))
    .ok("r", "poll", rx(3, 0), rx(1, 1), ry(2, 0), ry(4, 1), at=(60, 70)),
    # as G1c of reads alone, but one of its steps is a write behind another's write
    "G1c": Story()
    .ok("a", "txn", x(1, 0), ry(4, 0), at=(10, 50))
    .ok("b", "txn", x(2, 1), y(4, 0), at=(20, 40))
    .ok("r", "poll", rx(1, 0), rx(2, 1), at=(60, 70)),
}


@pytest.mark.parametrize("rule", CIRCLES)
def test_information_that_flows_in_a_circle_is_caught(rule: str, tmp_path: Path) -> None:
    found = verdict(CIRCLES[rule].operations, tmp_path)
    assert found.validity is Validity.INVALID
    assert [each.rule for each in found.findings if each.rule.startswith("G1c")] == [rule], str(found)


@pytest.mark.parametrize("rule", WRITE_CIRCLES)
def test_writes_in_a_circle_are_told_and_allowed_if_they_are_looked_for(rule: str, tmp_path: Path) -> None:
    operations = WRITE_CIRCLES[rule].operations
    found = verdict(operations, tmp_path, write_order=True)
    assert found.validity is Validity.VALID, str(found)
    assert rule in [each.rule for each in found.findings if each.is_allowed]
    assert verdict(operations, tmp_path).findings == tuple(
        each for each in found.findings if not each.rule.startswith("G")
    )


@pytest.mark.parametrize(
    "story",
    [
        # b's transaction began before a had ended: it may come first
        Story()
        .ok("a", "txn", ry(2, 0), at=(10, 50))
        .ok("c", "txn", x(1, 0), at=(50, 80))
        .ok("b", "txn", rx(1, 0), y(2, 0), at=(5, 90)),
        # the first of a's operations may take effect after the second
        Story()
        .unknown("a", "txn", ry(2, 0), at=(10, 50))
        .ok("a", "txn", x(1, 0), at=(60, 80))
        .ok("b", "txn", rx(1, 0), y(2, 0), at=(5, 90)),
        # nothing follows from what is read uncommitted
        Story()
        .ok("a", "txn", ry(2, 0), x(1, 0), at=(10, 50), **uncommitted())
        .ok("b", "txn", rx(1, 0), y(2, 0), at=(20, 40))
        .ok("r", "poll", ry(2, 0), at=(60, 70)),
        # a request is sent before its answer is read, in one operation that is no transaction
        Story()
        .ok("a", "request", x(1, 0), ry(2, 0), at=(0, 100))
        .ok("b", "serve", rx(1, 0), y(2, 0), at=(10, 50)),
        # a reader may be told of a record before its sender is
        Story().ok("a", "send", x(1, 0), at=(10, 50)).ok("b", "poll", rx(1, 0), at=(20, 30)),
        # the sender never learned how it ended
        Story()
        .unknown("a", "send", x(1), at=(10, None))
        .ok("b", "send", y(2, 0))
        .ok("b", "poll", rx(1, 0), ry(2, 0)),
    ],
)
def test_no_circle_is_seen_where_there_is_an_order(story: Story, tmp_path: Path) -> None:
    found = verdict(story.operations, tmp_path)
    assert not [each for each in found.findings if each.rule.startswith("G1c")], str(found)


def test_what_is_no_transaction_still_has_its_place_in_time(tmp_path: Path) -> None:
    """Only nothing flows through it from what it read to what it sent."""
    story = (
        Story()
        .ok("a", "request", x(9, 0), ry(2, 0), at=(10, 50))
        .ok("c", "txn", x(1, 1), at=(60, 80))
        .ok("b", "txn", rx(1, 1), y(2, 0), at=(5, 90))
        .ok("r", "poll", rx(9, 0), rx(1, 1), at=(95, 99))
    )
    assert verdict(story.operations, tmp_path).found("G1c-realtime") == 1


def test_a_circle_is_explained_step_by_step(tmp_path: Path) -> None:
    told = str(verdict(CIRCLES["G1c-realtime"].operations, tmp_path))
    assert "sent 1 at offset 0 of x, which T" in told
    assert "sent 2 at offset 0 of y, which T" in told
    assert "had ended (50 ns) before T" in told
    assert "so each of them would have to come before itself" in told


def test_a_circle_through_the_process_names_it(tmp_path: Path) -> None:
    assert "in the process a" in str(verdict(CIRCLES["G1c-process"].operations, tmp_path))


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40)
        )
    )
)
def test_components_are_what_reachability_says(case: tuple[int, list[tuple[int, int]]]) -> None:
    nodes, edges = case
    graph = Graph(nodes)
    for source, target in edges:
        graph.add(source, target, 0)
    reach = {node: {node} for node in range(nodes)}
    for _ in range(nodes):
        for source, target in edges:
            for known in reach.values():
                if source in known:
                    known.add(target)
    due = {frozenset(b for b in range(nodes) if b in reach[a] and a in reach[b]) for a in range(nodes)}
    assert {frozenset(each) for each in components(graph)} == {each for each in due if len(each) > 1}


def test_a_component_of_a_hundred_thousand_nodes_needs_no_recursion() -> None:
    graph = Graph(100_000)
    for node in range(100_000):
        graph.add(node, (node + 1) % 100_000, 0)
    assert [len(each) for each in components(graph)] == [100_000]


def test_the_shortest_circle_goes_through_the_edge_that_is_asked_for() -> None:
    graph = Graph(4)
    for source, target, label in [(0, 1, 0), (1, 0, 0), (1, 2, 0), (2, 3, 1), (3, 1, 0), (3, 0, 0)]:
        graph.add(source, target, label)
    assert shortest_circle(graph, 1) == [(2, 3, 1), (3, 1, 0), (1, 2, 0)]
    assert shortest_circle(graph, 2) == []


def _wild_history(seed: int) -> list[Operation]:
    """Operations whose reads make no sense: each reads what some other sent, whenever that was."""
    source = random.Random(seed)
    count = source.randint(2, 10)
    free = {f"p{n}": 0 for n in range(source.randint(1, 4))}
    out = []
    for number in range(count):
        process = source.choice(list(free))
        began = free[process] + source.randint(0, 6)
        ended = began + source.randint(0, 12)
        free[process] = ended + source.randint(0, 1)
        log = source.choice("xy")
        steps = []
        if source.random() < 0.8:
            steps.append(send(log, number, offset=number if source.random() < 0.8 else None))
        for other in source.sample(range(count), source.choice((0, 1, 1, 2))):
            if other != number:
                # Of the two one exists, if any.
                steps += [read(each, other) for each in "xy"]
        outcome = source.choice((Outcome.OK, Outcome.OK, Outcome.OK, Outcome.UNKNOWN, Outcome.FAIL))
        returned = None if outcome is Outcome.UNKNOWN and source.random() < 0.3 else ended
        action = source.choice(("txn", "txn", "serve"))
        out.append(Operation(process, action, began, returned, outcome, tuple(steps)))
    return out


def _all_at_once(database: Database) -> Counter[tuple[str, bool]]:
    """Circles without spans and chains of ends: every edge in time is there, one search covers all."""
    nodes = database.rows("SELECT op, began, ended, outcome FROM node ORDER BY op")
    number = {row[0]: index for index, row in enumerate(nodes)}
    graph = Graph(len(nodes))
    for source, target, label in database.rows("SELECT DISTINCT u, v, label FROM link ORDER BY ALL"):
        if source in number and target in number:
            graph.add(number[source], number[target], label)
    for (a, one), (b, other) in itertools.permutations(enumerate(nodes), 2):
        if one[2] is not None and one[3] != "unknown" and one[2] < other[1]:
            graph.add(a, b, TIME)
    every = frozenset({0, 1, PROCESS, TIME})
    parts = list(components(graph))
    return Counter(
        (name, mixed) for part in graph.parts(parts, every) for name, mixed, _ in cycles._named(part)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.booleans())
def test_spans_miss_no_circle_that_a_search_of_everything_finds(
    tmp_path_factory: pytest.TempPathFactory, seed: int, write_order: bool
) -> None:
    history = sealed(_wild_history(seed), tmp_path_factory.mktemp("wild"))
    with Database(Bounds()) as database:
        history.attach(database)
        facts.derive_sends(database)
        facts.derive_reads(database)
        found = cycles.circles(database, with_overwrites=write_order, keep=Options().examples)
        assert Counter({key: each.count for key, each in found.items()}) == _all_at_once(database)

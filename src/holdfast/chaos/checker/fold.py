"""The fold validator: Kafka's strongest check of a stateful processor, made general.

apache/kafka, streams/src/test/java/org/apache/kafka/streams/tests/EosTestDriver.java compares every
intermediate result with the fold (minimum, sum, ...) of the inputs up to there. Here the fold is given, each
output names the input it came from, and each key is judged by itself: no input lost, none applied twice,
those of one partition in their order, and every state what the fold makes of the state before it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from holdfast.chaos.checker.verdict import Example, Finding, Validity, Verdict, verdict_of
from holdfast.chaos.history import Bounds, History
from holdfast.chaos.history.database import Database
from holdfast.errors import HistoryError

RULES = ("fold-lost", "fold-twice", "fold-stranger", "fold-order", "fold-state")


@dataclass(frozen=True, slots=True)
class Fold:
    """What a processor does to the state of one key.

    Attributes:
        initial: the state before the first input.
        apply: the state after an input, from the state before and the input's value. Pure.
    """

    initial: Any
    apply: Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Input:
    """A record that the processor was given."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: Any

    @property
    def origin(self) -> tuple[str, int, int]:
        """Where it stands: topic, partition, offset."""
        return self.topic, self.partition, self.offset


@dataclass(frozen=True, slots=True)
class Output:
    """What the processor says it made of the input at `origin`: the state of the key after it."""

    key: str | None
    origin: tuple[str, int, int]
    state: Any


@dataclass(slots=True)
class _Found:
    """Cases of all rules; of each only the first few are kept as examples."""

    keep: int
    counts: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[Example]] = field(default_factory=lambda: defaultdict(list))
    inputs: int = 0
    outputs: int = 0

    def add(self, rule: str, text: str) -> None:
        self.counts[rule] += 1
        if len(self.examples[rule]) < self.keep:
            self.examples[rule].append(Example(text))

    def verdict(self) -> Verdict:
        findings = [
            Finding(rule, Validity.INVALID, count, tuple(self.examples[rule]))
            for rule, count in self.counts.items()
        ]
        if not self.inputs:
            findings.append(not_evaluated("the fold", "there were no inputs"))
        return verdict_of(findings, RULES, {"fold": {"inputs": self.inputs, "outputs": self.outputs}})


def not_evaluated(what: str, why: str) -> Finding:
    """The finding of a check that had nothing to look at: a failure, since it proves nothing."""
    return Finding("not-evaluated", Validity.INVALID, 1, (Example(f"{what} was not evaluated: {why}"),))


def check_fold(
    inputs: Iterable[Input], outputs: Iterable[Output], fold: Fold, *, examples: int = 8
) -> Verdict:
    """Whether the outputs (in order within each key) are the fold of the inputs; holds all of them."""
    by_key: dict[str | None, tuple[list[Input], list[Output]]] = defaultdict(lambda: ([], []))
    for one in inputs:
        by_key[one.key][0].append(one)
    for other in outputs:
        by_key[other.key][1].append(other)
    found = _Found(examples)
    for key, (given, made) in by_key.items():
        _judge(key, given, made, fold, found)
    return found.verdict()


def check_fold_of(
    history: History,
    fold: Fold,
    *,
    examples: int = 8,
    bounds: Bounds = Bounds(),  # noqa: B008 # frozen
) -> Verdict:
    """The same for the tables `inputs` and `outputs` of a history; holds one key's records in memory."""
    found = _Found(examples)
    with Database(bounds) as database:
        history.attach(database)
        for key, given, made in _by_key(database):
            _judge(key, given, made, fold, found)
    return found.verdict()


def _by_key(database: Database) -> Iterator[tuple[str | None, list[Input], list[Output]]]:
    """Merges two streams that are sorted by key."""
    inputs = groupby(_inputs(database), key=attrgetter("key"))
    outputs = groupby(_outputs(database), key=attrgetter("key"))
    given, made = next(inputs, None), next(outputs, None)
    while given or made:
        key = min(
            (each[0] for each in (given, made) if each), key=lambda each: (each is not None, each or "")
        )
        taken: list[Input] = []
        told: list[Output] = []
        if given and given[0] == key:
            taken = list(given[1])
            given = next(inputs, None)
        if made and made[0] == key:
            told = list(made[1])
            made = next(outputs, None)
        yield key, taken, told


def _inputs(database: Database) -> Iterator[Input]:
    query = 'SELECT topic, partition, "offset", key, value FROM inputs ORDER BY key NULLS FIRST'
    for topic, partition, offset, key, value in database.stream(query):
        yield Input(topic, partition, offset, key, _value(value))


def _outputs(database: Database) -> Iterator[Output]:
    query = 'SELECT key, topic, partition, "offset", state FROM outputs ORDER BY key NULLS FIRST, position'
    for key, topic, partition, offset, state in database.stream(query):
        yield Output(key, (topic, partition, offset), _value(state))


def _value(text: str | None) -> Any:
    """What JSON says; its null, such as of a tombstone, comes from a history as SQL's."""
    return None if text is None else json.loads(text)


def _judge(key: str | None, inputs: list[Input], outputs: list[Output], fold: Fold, found: _Found) -> None:
    """One key. After a wrong state the fold goes on from it, so that one mistake is one case."""
    found.inputs += len(inputs)
    found.outputs += len(outputs)
    values = {one.origin: one.value for one in inputs}
    applied: set[tuple[str, int, int]] = set()
    last: dict[tuple[str, int], int] = {}
    state = fold.initial
    for output in outputs:
        place = _place(output.origin, key)
        if output.origin not in values:
            found.add(
                "fold-stranger",
                f"{place}: an output (state {output.state!r}) names it, and it is no input of this key",
            )
            continue
        if output.origin in applied:
            found.add("fold-twice", f"{place}: it was applied again (state {output.state!r})")
        elif last.get(output.origin[:2], -1) > output.origin[2]:
            before = last[output.origin[:2]]
            found.add("fold-order", f"{place}: it was applied after the input at offset {before}")
        applied.add(output.origin)
        last[output.origin[:2]] = output.origin[2]
        due = _applied(fold, state, values[output.origin], place)
        if output.state != due:
            found.add(
                "fold-state",
                f"{place}: from {state!r} and {values[output.origin]!r} the fold gives {due!r}, "
                f"and the output says {output.state!r}",
            )
        state = output.state
    for one in inputs:
        if one.origin not in applied:
            found.add("fold-lost", f"{_place(one.origin, key)}: value {one.value!r} has no output")


def _applied(fold: Fold, state: Any, value: Any, place: str) -> Any:
    try:
        return fold.apply(state, value)
    except Exception as error:
        raise HistoryError(
            f"the fold cannot be applied to {state!r} and {value!r} ({place}): {error!r}"
        ) from error


def _place(origin: tuple[str, int, int], key: str | None) -> str:
    topic, partition, offset = origin
    return f"{topic}-{partition}@{offset}, key {key}"

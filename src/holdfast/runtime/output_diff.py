"""Outputs of two versions, compared in the order in which each wrote them. Pure.

Outputs with a key are paired one by one for each key: the first with the first, the second with the second.
Those without a key have no order that two versions must agree on; of them is compared how often each occurs.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from holdfast.record import Message
from holdfast.schema import TYPE_HEADER


class Written(NamedTuple):
    """What of an output is compared.

    Attributes:
        key: its key.
        type: its event's class and version, as the header tells it.
        value: its value; None for a tombstone.
    """

    key: bytes | None
    type: bytes | None
    value: bytes | None


class Pair(NamedTuple):
    """Two outputs in the same place of a key's sequence that differ."""

    live: Written
    shadow: Written


@dataclass(frozen=True, slots=True)
class OutputDiff:
    """What comparing outputs found.

    Attributes:
        equal: outputs that both have.
        differ: pairs in the same place that are not the same.
        only_live: outputs of the live version without a counterpart: more of a key, or at all.
        only_shadow: the same for the shadow.
        first: the first pairs that differ.
        left_over: the first outputs without a counterpart.
    """

    equal: int = 0
    differ: int = 0
    only_live: int = 0
    only_shadow: int = 0
    first: tuple[Pair, ...] = ()
    left_over: tuple[Written, ...] = ()

    def plus(self, other: OutputDiff, most: int) -> OutputDiff:
        """Both together, with at most so many examples of each kind."""
        return OutputDiff(
            self.equal + other.equal,
            self.differ + other.differ,
            self.only_live + other.only_live,
            self.only_shadow + other.only_shadow,
            (*self.first, *other.first)[:most],
            (*self.left_over, *other.left_over)[:most],
        )


def written(record: Message) -> Written:
    """What of a record is compared. Other headers may be new with each write."""
    found = dict(record.headers() or ())
    return Written(record.key(), found.get(TYPE_HEADER), record.value())


def compare_outputs(live: Iterable[Written], shadow: Iterable[Written], most: int) -> OutputDiff:
    """Compare what two versions wrote.

    Kept in memory is what the other side has not come to yet, so both should come in about the same order.

    Args:
        live: the live version's outputs, those of a key in their order.
        shadow: the shadow's.
        most: how many examples to keep of each kind.
    """
    waiting: tuple[_Waiting, _Waiting] = (defaultdict(deque), defaultdict(deque))
    equal = differ = 0
    first: list[Pair] = []
    for side, output in _in_turn(live, shadow):
        group = output.key if output.key is not None else output
        others = waiting[1 - side].get(group)
        if not others:
            waiting[side][group].append(output)
            continue
        other = others.popleft()
        if not others:
            del waiting[1 - side][group]
        if other == output:
            equal += 1
            continue
        differ += 1
        if len(first) < most:
            first.append(Pair(output, other) if side == 0 else Pair(other, output))
    only = [sum(map(len, each.values())) for each in waiting]
    left = [it for each in waiting for outputs in each.values() for it in outputs]
    return OutputDiff(equal, differ, only[0], only[1], tuple(first), tuple(left[:most]))


_Waiting = defaultdict[bytes | Written, deque[Written]]


def _in_turn(live: Iterable[Written], shadow: Iterable[Written]) -> Iterator[tuple[int, Written]]:
    """One of each side after the other, with the side's number."""
    for pair in zip_longest(live, shadow):
        for side, output in enumerate(pair):
            if output is not None:
                yield side, output

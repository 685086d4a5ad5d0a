"""Two states, compared key by key in the order of their keys: one row of each in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

Row = tuple[bytes, bytes]
"""Key and encoded value."""


class Difference(NamedTuple):
    """A key that the two states do not agree on; None where a state has no value under it."""

    key: bytes
    left: bytes | None
    right: bytes | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing two states found; values are compared byte by byte.

    Attributes:
        equal: keys with the same value.
        differ: keys with two values.
        only_left: keys that only the left state has.
        only_right: keys that only the right state has.
        behind: keys that were not compared: they changed after the moment that one state stands for.
        first: the first differences, in the order of their keys.
    """

    equal: int = 0
    differ: int = 0
    only_left: int = 0
    only_right: int = 0
    behind: int = 0
    first: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs among the keys that were compared."""
        return not (self.differ or self.only_left or self.only_right)


def _never(key: bytes) -> bool:  # noqa: ARG001
    """No key has changed since."""
    return False


def compare(
    left: Iterable[Row], right: Iterable[Row], most: int, is_behind: Callable[[bytes], bool] = _never
) -> Comparison:
    """Compare two states whose rows come in the order of their keys.

    Args:
        left: one of them.
        right: the other.
        most: how many differences to keep.
        is_behind: tells keys that are not to be compared.
    """
    equal = differ = only_left = only_right = behind = 0
    first: list[Difference] = []
    for pair in _pairs(iter(left), iter(right)):
        if pair.left == pair.right:
            equal += 1
            continue
        if is_behind(pair.key):
            behind += 1
            continue
        if pair.right is None:
            only_left += 1
        elif pair.left is None:
            only_right += 1
        else:
            differ += 1
        if len(first) < most:
            first.append(pair)
    return Comparison(equal, differ, only_left, only_right, behind, tuple(first))


def _pairs(left: Iterator[Row], right: Iterator[Row]) -> Iterator[Difference]:
    """Each key once, with both values."""
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield Difference(a[0], a[1], None)
            a = next(left, None)
        elif a is None or b[0] < a[0]:
            yield Difference(b[0], None, b[1])
            b = next(right, None)
        else:
            yield Difference(a[0], a[1], b[1])
            a, b = next(left, None), next(right, None)

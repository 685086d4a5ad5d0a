"""Outputs of two versions are paired by key, in order; what has no key only by how often it occurs."""

from __future__ import annotations

from holdfast.runtime.output_diff import OutputDiff, Pair, Written, compare_outputs


def of(text: str) -> list[Written]:
    """Outputs such as `a1 b1 -x`: a letter's key and a number's value; `-` for no key."""
    return [
        Written(None if it[0] == "-" else it[0].encode(), b"T.v1", it[1:].encode()) for it in text.split()
    ]


def diff(live: str, shadow: str) -> OutputDiff:
    """Compare, keeping two examples."""
    return compare_outputs(of(live), of(shadow), 2)


def test_the_order_between_keys_does_not_matter_and_that_of_a_key_does() -> None:
    """Two versions may commit their inputs' partitions in another order."""
    assert diff("a1 b1 a2 b2", "b1 b2 a1 a2") == OutputDiff(equal=4)
    [a1, a2] = of("a1 a2")
    assert diff("a1 a2", "a2 a1") == OutputDiff(differ=2, first=(Pair(a1, a2), Pair(a2, a1)))


def test_what_one_side_has_more_is_counted_for_that_side() -> None:
    """It may be ahead, which is for others to judge."""
    assert diff("a1 a2 b1", "a1") == OutputDiff(equal=1, only_live=2, left_over=tuple(of("a2 b1")))
    assert diff("a1", "a1 c1") == OutputDiff(equal=1, only_shadow=1, left_over=tuple(of("c1")))


def test_an_output_that_is_missing_in_between_shows() -> None:
    """Everything of that key after it is in another place."""
    found = diff("a1 a2 a3 b1", "a1 a3 b1")
    assert (found.equal, found.differ, found.only_live) == (2, 1, 1)


def test_without_a_key_the_order_does_not_matter() -> None:
    """But how often each occurs."""
    assert diff("-x -y -x", "-y -x -x") == OutputDiff(equal=3)
    found = diff("-x -y", "-x -x")
    assert (found.equal, found.differ, found.only_live, found.only_shadow) == (1, 0, 1, 1)


def test_another_class_with_the_same_value_differs() -> None:
    """The value alone does not tell the event."""
    [one] = of("a1")
    found = compare_outputs([one], [one._replace(type=b"U.v1")], 2)
    assert (found.equal, found.differ) == (0, 1)


def test_examples_are_kept_up_to_a_number_also_when_put_together() -> None:
    """Counts are not limited."""
    both = diff("a1 b1 c1", "a2 b2 c2").plus(diff("d1", "d2"), 2)
    assert (both.differ, len(both.first)) == (4, 2)

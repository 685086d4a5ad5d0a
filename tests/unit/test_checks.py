"""What becomes of what a user's check returns, whatever that is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from holdfast.checks import CheckResult, run_checks
from holdfast.errors import ClusterError
from holdfast.record import Position


def found(check: Callable[[Any], Any]) -> CheckResult:
    """What becomes of one check, `own:check`."""
    [result] = run_checks({"own:check": check}, None)  # type: ignore[arg-type] # nobody reads
    return result


def test_problems_of_any_kind_are_told_as_text() -> None:
    place = Position("orders", 3, 17)
    result = found(lambda _: CheckResult.of("each order ends once", [("o-7", Decimal("1.50")), place]))
    assert result.examples == (str(("o-7", Decimal("1.50"))), str(place))
    assert result.violations == 2


def test_examples_of_any_kind_are_told_as_text_too() -> None:
    given: Any = [("o-7", 2), ValueError("x")]
    assert found(lambda _: CheckResult("c", False, {}, 2, given)).examples == ("('o-7', 2)", "x")
    one: Any = "order 7 is open"
    assert found(lambda _: CheckResult("c", False, {}, 1, one)).examples == ("order 7 is open",)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "the check returned None; it has to return a CheckResult"),
        (True, "the check returned True; it has to return a CheckResult"),
        ([CheckResult("c", True, {})], "the check returned [CheckResult("),
    ],
)
def test_a_check_that_returns_something_else_has_failed(answer: object, told: str) -> None:
    result = found(lambda _: answer)
    assert (result.name, result.ok, result.violations) == ("own:check", False, 1)
    assert result.examples[0].startswith(told)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"counts": {"placed": "nine"}}, "the check's count placed is 'nine', which is no number"),
        ({"counts": None}, "the check's counts are None, which are no numbers by name"),
        ({"violations": "two"}, "the check's violations are 'two', which is no whole number"),
    ],
)
def test_a_result_that_nobody_could_show_has_failed(parts: dict[str, Any], told: str) -> None:
    result = found(lambda _: CheckResult(**{"name": "c", "ok": True, "counts": {}, **parts}))
    assert (result.ok, result.violations) == (False, 1)
    assert result.examples[0].startswith(told)


def test_a_violation_is_told_beside_a_count_that_is_no_number() -> None:
    given: Any = {"placed": 9, "closed": "eight"}
    result = found(lambda _: CheckResult("c", False, given, 3, ("order 7 is open",)))
    assert (result.name, result.violations, result.counts) == ("c", 4, {"placed": 9})
    assert result.examples == ("order 7 is open", "the check's count closed is 'eight', which is no number")


def test_what_a_text_of_its_own_raises_fails_the_check() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    for answer in (Mute(), CheckResult("c", False, {}, 1, (Mute(),))):  # type: ignore[arg-type] # for that reason
        [example] = found(lambda _, answer=answer: answer).examples
        assert example.startswith("the check raised RuntimeError('no words') at ")


def test_a_right_result_stays_as_it_is() -> None:
    given = CheckResult.of("each order ends once", ["order 7 is open"], placed=9, used=Decimal("1.5"))
    assert found(lambda _: given) == given


def test_a_failure_of_one_check_leaves_the_others_alone() -> None:
    def fails(_: object) -> CheckResult:
        raise KeyError("o-7")

    checks: dict[str, Any] = {
        "a:fails": fails,
        "b:none": lambda _: None,
        "c:c": lambda _: CheckResult.of("c", []),
    }
    assert [result.ok for result in run_checks(checks, None)] == [False, False, True]  # type: ignore[arg-type]


def test_data_that_cannot_be_read_is_no_failure_of_the_check() -> None:
    def reads(_: object) -> CheckResult:
        raise ClusterError("no broker answers")

    with pytest.raises(ClusterError):
        found(reads)

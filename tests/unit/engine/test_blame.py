"""An error is told with the user's lines, not with ours around them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import State
from holdfast.engine.blame import explain, place_of, stack_of
from holdfast.engine.dead_letter import PREFIX
from holdfast.errors import NotJson
from tests.unit.engine.kit import Added, Bench, Sum, Totalled, added, make_plan


def fail(n: int) -> None:
    """Raises one call below the handler."""
    raise ValueError(f"{n} is evil")  # the line


def raise_below(event: Added, sums: State[Sum]) -> None:
    """Raises in a helper."""
    fail(event.n)


def raise_in_library(event: Added) -> None:
    """Raises inside the standard library."""
    json.loads("{")  # the line


def raise_in_generator(event: Added) -> Iterator[Totalled]:
    """Raises after its first output."""
    yield Totalled(key=event.key, total=1)
    raise KeyError(event.n)  # the line


def ask_without_key(event: Added, sums: State[Sum]) -> None:
    """Raises an error of ours."""
    sums.get()  # the line


def leave(event: Added) -> None:
    """Ends the process."""
    raise SystemExit(3)  # the line


def line_of(function: Callable[..., Any]) -> str:
    """`file:line` of the line in a function that says so."""
    code = function.__code__
    lines = Path(__file__).read_text().splitlines()
    return f"{__file__}:{next(n for n in range(code.co_firstlineno, 999) if '# the line' in lines[n - 1])}"


CASES = [
    (raise_below, fail, {}),
    (raise_in_library, raise_in_library, {"tables": {}}),
    (raise_in_generator, raise_in_generator, {"tables": {}}),
    (ask_without_key, ask_without_key, {}),
    (leave, leave, {"tables": {}}),
]


def cause_of(handler: Callable[..., Any], *, value: bytes | None = None, **options: Any) -> Exception:
    """What stopped a shard."""
    bench = Bench(make_plan(handler, **options))
    changes: dict[str, Any] = {"raw_key": None} if handler is ask_without_key else {}
    if value is not None:
        changes["value"] = value
    bench.handle(added(0, key="k", n=66, **changes))
    assert bench.task.failure is not None
    return bench.task.failure.cause


@pytest.mark.parametrize(("handler", "place", "options"), CASES)
def test_the_innermost_line_of_the_users_code_is_named(
    handler: Callable[..., Any], place: Callable[..., Any], options: dict[str, Any]
) -> None:
    """Not one of a library below it, nor one of ours around it."""
    cause = cause_of(handler, **options)
    assert place_of(cause) == line_of(place)
    assert explain(cause).endswith(f"({line_of(place)})")


@pytest.mark.parametrize(("handler", "place", "options"), CASES)
def test_the_stack_begins_at_the_handler(
    handler: Callable[..., Any], place: Callable[..., Any], options: dict[str, Any]
) -> None:
    """With the source lines below it, and without a frame of ours."""
    stack = stack_of(cause_of(handler, **options))
    assert "# the line" in stack
    assert f"in {handler.__name__}" in stack
    assert "engine/step.py" not in stack


def test_an_error_of_ours_needs_no_stack() -> None:
    """No code of the user's took part: its text says it all."""
    cause = cause_of(raise_below, value=b"{", on_bad_record="stop")
    assert isinstance(cause, NotJson)
    assert (stack_of(cause), explain(cause)) == ("", str(cause))


def test_a_fault_of_ours_keeps_its_whole_stack() -> None:
    """There is nothing else to find it by."""
    bench = Bench(make_plan(raise_below))
    with pytest.raises(TypeError) as raised:
        bench.task.advance("adds", None)  # type: ignore[arg-type]
    # Without the frame of this test, which stands where the worker's would.
    raised.value.__traceback__ = raised.value.__traceback__ and raised.value.__traceback__.tb_next
    assert "engine/shard.py" in stack_of(raised.value)
    assert place_of(raised.value) is None


def test_a_dead_letter_carries_the_users_lines() -> None:
    """In the header that names the stack, and from the handler on."""
    bench = Bench(make_plan(raise_below, on_error="dead-letter"))
    bench.handle(added(0, n=66))
    stack = dict(bench.unit.outputs[0].headers)[PREFIX + "stacktrace"]
    assert stack is not None
    assert b"raise ValueError" in stack
    assert b"engine/step.py" not in stack

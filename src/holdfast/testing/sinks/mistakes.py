"""What is wrong with a class that is derived from the tests of sinks: it would only look tested."""

from __future__ import annotations

import difflib
from typing import Final

_NEAR: Final = 0.7
"""How much alike two names have to be for one to be taken for the other; `once` and `onec` are 0.75."""


def missing(tests: object, method: str) -> NotImplementedError:
    """The error of a method that a class of tests lacks."""
    return NotImplementedError(
        f"{type(tests).__name__} has no method `{method}`, which these tests need: "
        "docs/guide/sinks.md, `Its tests`, says what each is asked for"
    )


def refuse_misspelt(tests: type) -> None:
    """Refuse an attribute that is nearly one of the suite's: it would change nothing, without a word.

    Args:
        tests: a class that has just been derived.

    Raises:
        TypeError: it has such an attribute.
    """
    suite = [base for base in tests.__mro__[1:] if base.__module__.startswith(f"{__package__}.")]
    known = {name for base in suite for name in _attributes(base)}
    for name in _attributes(tests):
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_NEAR)
        if near and name not in known:
            raise TypeError(
                f"{tests.__name__} has an attribute `{name}`, which the tests of sinks do not know; "
                f"did you mean `{near[0]}`? If it is your own, give it another name"
            )


def _attributes(tests: type) -> list[str]:
    return [
        name for name in vars(tests) if not name.startswith("_") and not callable(getattr(tests, name, None))
    ]

"""Patience of tests with brokers that are silent for a while."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from holdfast.errors import BrokersUnreachable

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_S = 60.0


def patient(look: Callable[P, T]) -> Callable[P, T]:
    """A look at the brokers that is tried again while they do not answer.

    A command gives up after 8 s, so that it says so within 10. A machine that is shared, or brokers that
    elect leaders, may take longer, and that says nothing about what a test looks at.
    """

    @functools.wraps(look)
    def again(*args: P.args, **kwargs: P.kwargs) -> T:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return look(*args, **kwargs)
            except BrokersUnreachable:
                if time.monotonic() > deadline:
                    raise

    return again

"""Errors leave the process they were raised in, as they must from a pool of processes."""

from __future__ import annotations

import copy
import pickle

import pytest

from holdfast.errors import BulkheadFull, CallTimeout, CircuitOpen, HoldfastError, RateLimited, SinkSlow


@pytest.mark.parametrize(
    "error",
    [
        CircuitOpen("gateway", "OPEN", 2.5),
        BulkheadFull("full", 1.0),
        RateLimited("too fast", 0.5),
        CallTimeout("late"),
        SinkSlow("a part", 3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_after_it_was_pickled_or_copied(error: HoldfastError) -> None:
    error.add_note("tried 3 times")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)

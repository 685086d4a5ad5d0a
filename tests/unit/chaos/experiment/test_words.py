"""Durations in messages."""

from __future__ import annotations

import pytest

from holdfast.chaos.experiment.words import span_text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        *((0, "0s"), (20_000, "20s"), (1_500, "1.5s"), (250, "250ms"), (90, "90ms"), (100, "0.1s")),
        *((123_456_700, "123456.7s"), (1_000_000_000, "1000000s")),
    ],
)
def test_a_duration_is_told_to_the_millisecond_however_long_it_is(milliseconds: int, text: str) -> None:
    assert span_text(milliseconds) == text

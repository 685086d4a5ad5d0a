"""A worker whose input has nothing more: all of it is committed all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.application import Application
from tests.support.events import Added

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_the_last_unit_is_committed_while_the_input_is_idle(
    application: Callable[..., Application], guarantee: str
) -> None:
    """The offsets reach the end of the input although nothing wakes the worker up."""
    app = application(guarantee=guarantee)
    app.publish(*(Added(key=f"k{i % 9}", n=i) for i in range(500)))
    with app.run() as run:
        run.until(lambda: app.lag() == 0, 20, "the last unit's commit")

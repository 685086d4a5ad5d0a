"""Exactly-once stateful processing on real brokers, judged by the fold validator."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.application import Application
from tests.support.events import Added
from tests.support.fold import assert_exactly_once

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def test_every_record_is_applied_once_and_in_order(application: Callable[..., Application]) -> None:
    """The plain run: 4,000 records, 50 keys, every intermediate value checked."""
    app = application()
    app.publish(*(Added(key=f"k{i % 50}", n=i) for i in range(4000)))
    with app.run() as run:
        run.until_drained()
    assert assert_exactly_once(app) == 4000

"""Every mistake of the catalogue is caught by its rule, and nothing that is right is blamed, on real brokers.

`holdfast chaos controls` does the same and prints a table. HOLDFAST_CHAOS_SEEDS=1,2,3 takes more seeds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from holdfast.chaos.controls.cases import RIGHT, WRONG, Case
from holdfast.chaos.controls.gauntlet import Gauntlet

SEEDS = [int(seed) for seed in os.environ.get("HOLDFAST_CHAOS_SEEDS", "1").split(",")]

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("seed", SEEDS),
]


@pytest.fixture(scope="module")
def gauntlet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gauntlet]:
    """Brokers for all cases; each has topics and a group of its own."""
    with Gauntlet(tmp_path_factory.mktemp("controls")) as made:
        yield made


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_mistake_is_caught_by_its_rule(gauntlet: Gauntlet, case: Case, seed: int) -> None:
    outcome = gauntlet.run(case, seed)
    assert outcome.is_as_due, outcome


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_what_is_right_is_not_blamed(gauntlet: Gauntlet, case: Case, seed: int) -> None:
    outcome = gauntlet.run(case, seed)
    assert outcome.is_as_due, outcome

"""The plan of a run: the same for a seed, and within all bounds of the experiment for every seed."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast.chaos.experiment import Experiment, PlannedFault, drawn, load, schedule
from holdfast.chaos.experiment.load import build
from holdfast.chaos.experiment.overlap import undo_each_other
from holdfast.chaos.experiment.schedule import periods
from holdfast.declaration.source import parse

READY = Path(__file__).parents[4] / "chaos"

CHOICES = [
    {"fault": "broker.kill", "target": "leader", "weight": 3},
    {"fault": "broker.freeze", "target": "leader"},
    {"fault": "broker.restart", "target": "controller"},
    {"fault": "worker.kill", "target": "any", "weight": 2},
    {"fault": "worker.scale", "to": 5},
]


def mixed(**random: Any) -> Experiment:
    """An experiment with faults by chance; times in seconds where they are numbers."""
    limit_s = random.pop("limit", 300)
    keys = {
        key: f"{value}s" if isinstance(value, int) and key != "at_once" else value
        for key, value in random.items()
    }
    data = {
        "name": "mixed",
        "description": "It is mixed.",
        "workload": {"kind": "bank"},
        "time_limit": f"{limit_s}s",
        "random": {"choose": CHOICES, "for": {"min": "1s", "max": "5s"}, **keys},
        "invariants": ["conservation"],
    }
    return build(parse(yaml.safe_dump(data).encode(), Path("it.yaml")))


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Experiments with faults by chance, of all shapes."""
    every = draw(st.integers(5, 30))
    longest = draw(st.integers(1, every))
    shortest = draw(st.integers(1, longest))
    start, end = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    limit = draw(st.integers(start + end + every, start + end + 40 * every))
    return mixed(
        limit=limit,
        every=every,
        clean_start=start,
        calm_end=end,
        at_once=draw(st.integers(1, len(CHOICES))),
        quiet=draw(st.floats(0, 0.9)),
        **{"for": {"min": f"{shortest}s", "max": f"{longest}s"}},
    )


UNHURRIED = settings(deadline=None)
"""Where the machine is busy with brokers, an example may take long."""

SEEDS = st.integers(0, 2**63)


def by_period(experiment: Experiment, seed: int) -> dict[int, list[PlannedFault]]:
    """The faults of each period that has any."""
    assert experiment.mix is not None
    found: dict[int, list[PlannedFault]] = {}
    for fault in schedule(experiment, seed):
        period = (fault.at_ms - experiment.mix.clean_start_ms) // experiment.mix.every_ms
        found.setdefault(period, []).append(fault)
    return found


@UNHURRIED
@given(experiments(), SEEDS)
def test_the_same_seed_gives_the_same_plan(experiment: Experiment, seed: int) -> None:
    assert schedule(experiment, seed) == schedule(experiment, seed)


def test_other_seeds_give_other_plans() -> None:
    """Twenty seeds are twenty runs."""
    experiment = mixed()
    assert len({repr(schedule(experiment, seed)) for seed in range(20)}) == 20


@UNHURRIED
@given(experiments(), SEEDS)
def test_nothing_happens_at_first_and_nothing_at_last(experiment: Experiment, seed: int) -> None:
    """So nothing is outside the time limit either."""
    mix = experiment.mix
    assert mix is not None
    for fault in schedule(experiment, seed):
        assert fault.at_ms >= mix.clean_start_ms
        assert fault.end_ms <= experiment.time_limit_ms - mix.calm_end_ms


@UNHURRIED
@given(experiments(), SEEDS)
def test_the_quiet_share_is_kept_exactly(experiment: Experiment, seed: int) -> None:
    """Not on average: each run has as many quiet periods as it should, and one that is loud."""
    assert experiment.mix is not None
    count, quiet = periods(experiment.mix, experiment.time_limit_ms)
    loud = by_period(experiment, seed)
    assert set(loud) <= set(range(count))
    assert count - len(loud) == quiet < count
    assert abs(quiet - count * experiment.mix.quiet) <= 1


@UNHURRIED
@given(experiments(), SEEDS)
def test_a_period_has_no_more_faults_than_allowed_and_they_stay_in_it(
    experiment: Experiment, seed: int
) -> None:
    mix = experiment.mix
    assert mix is not None
    for period, faults in by_period(experiment, seed).items():
        assert 1 <= len(faults) <= mix.at_once
        for fault in faults:
            assert fault.end_ms <= mix.clean_start_ms + (period + 1) * mix.every_ms


@UNHURRIED
@given(experiments(), SEEDS)
def test_faults_last_as_long_as_they_may_and_do_not_undo_each_other(
    experiment: Experiment, seed: int
) -> None:
    mix = experiment.mix
    assert mix is not None
    for faults in by_period(experiment, seed).values():
        for fault in faults:
            assert (fault.for_ms is not None) is fault.kind.lasts
            assert fault.for_ms is None or mix.lasting.min_ms <= fault.for_ms <= mix.lasting.max_ms
        for one, other in combinations(faults, 2):
            assert not undo_each_other(one.fault, other.fault)


@UNHURRIED
@given(experiments(), SEEDS)
def test_a_plan_is_in_the_order_of_time(experiment: Experiment, seed: int) -> None:
    starts = [fault.at_ms for fault in schedule(experiment, seed)]
    assert starts == sorted(starts)


def test_heavier_faults_are_chosen_more_often() -> None:
    """In proportion to their weights, over many runs."""
    experiment = mixed(limit=3_000, every=10, quiet=0.0)
    found = Counter(fault.kind.name for seed in range(20) for fault in schedule(experiment, seed))
    total = sum(found.values())
    for choice in CHOICES:
        share = found[str(choice["fault"])] / total
        assert share == pytest.approx(int(str(choice.get("weight", 1))) / 8, abs=0.02)


def test_half_of_three_periods_is_rounded_and_a_run_is_never_all_quiet() -> None:
    """At least one period has a fault, whatever the share."""
    for limit, quiet, expected in (
        (65, 0.5, (3, 2)),
        (35, 0.9, (1, 0)),
        (50, 0.9, (2, 1)),
        (300, 0.25, (18, 5)),
    ):
        mix = mixed(limit=limit, quiet=quiet).mix
        assert mix is not None
        assert periods(mix, limit * 1_000) == expected


@pytest.mark.parametrize("path", sorted(READY.glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_a_ready_experiment_has_a_plan_for_every_seed(path: Path, seed: int) -> None:
    """A time line has the faults that it says, at the times that it says; only their draws differ."""
    experiment = load(path)
    planned = schedule(experiment, seed)
    assert planned
    assert all(0 <= fault.draw < 1 for fault in planned)
    if experiment.mix is None:
        assert [(it.at_ms, it.for_ms, it.fault) for it in planned] == sorted(
            ((start, it.for_ms, it.fault) for it in experiment.time_line for start in it.starts()),
            key=lambda it: it[0],
        )


def test_a_plan_is_the_same_on_every_version_of_python() -> None:
    """It is pinned: a plan that changes would make seeds of old reports worthless."""
    planned = schedule(mixed(limit=120, at_once=3), 7)
    assert [(it.at_ms, it.for_ms, it.kind.name, round(it.draw, 12)) for it in planned] == [
        (6244, 1279, "worker.kill", 0.638913468926),
        (11006, 1150, "broker.kill", 0.372397542726),
        (25892, 4791, "broker.kill", 0.54774446571),
        (28224, 1893, "worker.kill", 0.062788974973),
        (36581, 1577, "broker.kill", 0.059601169966),
        (38060, 4434, "worker.scale", 0.205958712819),
        (72722, 1723, "worker.kill", 0.680399973182),
    ]


@UNHURRIED
@given(st.integers(1, 9), st.integers(0, 9), st.floats(0, 1, exclude_max=True))
def test_a_draw_chooses_so_many_different_ones(candidates: int, count: int, draw: float) -> None:
    assume(count <= candidates)
    chosen = drawn(range(candidates), count, draw)
    assert len(set(chosen)) == len(chosen) == count
    assert chosen == drawn(range(candidates), count, draw)


def test_draws_choose_evenly() -> None:
    """Of three brokers each is hit as often."""
    found = Counter(drawn((1, 2, 3), 1, number / 3_000)[0] for number in range(3_000))
    assert all(abs(times - 1_000) < 120 for times in found.values()), found

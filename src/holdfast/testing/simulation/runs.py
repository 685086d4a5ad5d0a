"""Many runs of the application that Holdfast is simulated with, one for each seed."""

from __future__ import annotations

from holdfast.testing.simulation.failures import SimulationFailed
from holdfast.testing.simulation.faults import Faults
from holdfast.testing.simulation.fold import events, fold_problems, fold_topology
from holdfast.testing.simulation.simulation import Simulation


def fold_run(seed: int, mutant: str | None = None) -> Simulation:
    """The run of one seed, ready to go."""
    name = f" --mutant {mutant}" if mutant else ""
    simulation = Simulation(
        fold_topology(),
        seed=seed,
        check=lambda log: fold_problems(log, simulation.written),
        faults=Faults(replay=True),
        repeat=f"python -m holdfast.testing.simulation --from {seed} --seeds 1 --trace{name}",
    )
    for topic, event in events(simulation.kernel.rng):
        simulation.publish(topic, event)
    return simulation


def failure_of(seed: int, mutant: str | None = None) -> SimulationFailed | None:
    """What is wrong with the run of one seed; None when nothing is."""
    try:
        fold_run(seed, mutant).run()
    except SimulationFailed as failed:
        return failed
    return None


def traced(seed: int, mutant: str | None = None) -> list[str]:
    """What happens in the run of one seed, line by line, and what is wrong with it."""
    simulation = fold_run(seed, mutant)
    trace = simulation.trace
    try:
        simulation.run()
    except SimulationFailed as failed:
        trace.append(str(failed))
    return trace

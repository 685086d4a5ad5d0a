"""Deterministic simulation: an application under faults, in virtual time, by a seed.

    simulation = Simulation("topology.yaml", seed=7, check=nothing_is_lost)
    simulation.publish("orders", *orders)
    simulation.run()

The workers are the real ones: engine, commits, restores, ownership. Brokers, clocks, threads and disks are
simulated, so that a run takes milliseconds, and the same seed repeats it exactly.
"""

from __future__ import annotations

from holdfast.testing.simulation.failures import SimulationError, SimulationFailed
from holdfast.testing.simulation.faults import Faults
from holdfast.testing.simulation.simulation import Simulation

__all__ = ["Faults", "Simulation", "SimulationError", "SimulationFailed"]

"""Experiments as data: what is broken, when, and what has to hold.

- `load` reads `chaos/*.yaml` as strictly as the topology (`model`, `fields`, `entries`, `draft`), and checks
  it across its parts (`check`, `fault_check`, `mix_check`, `overlap`)
- `catalogue` has every kind of fault, `targets` every role, `invariants` every built-in invariant
- `schedule` is what a run with a seed will do
- `lacks` and `explain` say what a machine has not got for it (`needs`, `requirements`)

Nothing here starts a process, talks to a broker or looks at a clock: the runner does, with these values.
"""

from __future__ import annotations

from holdfast.chaos.experiment.catalogue import KINDS, FaultKind, Parameter
from holdfast.chaos.experiment.invariants import INVARIANTS, Invariant
from holdfast.chaos.experiment.load import FOLDER, build, load
from holdfast.chaos.experiment.model import (
    Abort,
    Cluster,
    Experiment,
    Fault,
    Mix,
    OwnInvariant,
    SteadyState,
    TimedFault,
    WeightedFault,
    Workload,
)
from holdfast.chaos.experiment.needs import NEEDS, Need
from holdfast.chaos.experiment.requirements import Facts, Lack, explain, lacks, needs_of, remaining
from holdfast.chaos.experiment.schedule import PlannedFault, drawn, schedule
from holdfast.chaos.experiment.targets import FORMS, Form, Group, Role, Target, brokers_hit

__all__ = [
    "FOLDER",
    "FORMS",
    "INVARIANTS",
    "KINDS",
    "NEEDS",
    "Abort",
    "Cluster",
    "Experiment",
    "Facts",
    "Fault",
    "FaultKind",
    "Form",
    "Group",
    "Invariant",
    "Lack",
    "Mix",
    "Need",
    "OwnInvariant",
    "Parameter",
    "PlannedFault",
    "Role",
    "SteadyState",
    "Target",
    "TimedFault",
    "WeightedFault",
    "Workload",
    "brokers_hit",
    "build",
    "drawn",
    "explain",
    "lacks",
    "load",
    "needs_of",
    "remaining",
    "schedule",
]

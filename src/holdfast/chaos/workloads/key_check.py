"""Whether a workload's keys are enough for its partitions. Pure: no broker is asked."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.chaos.experiment import Experiment
from holdfast.chaos.workloads.plans import PLANS
from holdfast.declaration.source import Problem


def key_problems(experiment: Experiment) -> Iterator[Problem]:
    """Yield that partitions get no key. The steady state asks for outputs of each, and would never come."""
    wanted = experiment.workload
    if wanted.kind not in PLANS:
        return
    plan = PLANS[wanted.kind]
    enough = plan.keys_for(wanted.partitions)
    if wanted.keys < enough:
        without = plan.without_keys(wanted.keys, wanted.partitions)
        text = (
            f"{without} of the {wanted.partitions} partitions get none of these keys and would never show an "
            f"output, so the steady state could not come; give {enough} keys or more"
        )
        yield Problem(("workload", "keys"), text)

"""Which faults the brokers of a test can have, and what to do about one that they cannot."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.chaos.experiment import Group
from holdfast.chaos.experiment.catalogue import Alters, FaultKind
from holdfast.chaos.kit.application import ApplicationUnderTest
from holdfast.chaos.lab.base import Lab
from holdfast.errors import FaultFailed


def require_here(
    kind: FaultKind, parameters: Mapping[str, object], lab: Lab, application: ApplicationUnderTest | None
) -> None:
    """Refuse a fault that needs what these brokers, or workers, were started without.

    Raises:
        FaultFailed: with what to do instead.
    """
    if (kind.group is Group.WORKER or kind.alters is Alters.WORKERS) and application is None:
        raise FaultFailed(
            f"{kind.name} needs workers: ask for the fixture `topology` as well, and begin the fault within "
            "`with topology.running(workers=2)`"
        )
    if kind.group is Group.SINK and (application is None or application.gates is None):
        raise FaultFailed(
            f"{kind.name} needs a gate before the sink, which is there when the workers start: "
            "`with topology.running(gates=[...])`"
        )
    if kind.group is Group.SIDE and lab.network is None:
        raise FaultFailed(
            f"{kind.name} needs embedded brokers on a network that can be disturbed: run pytest with "
            "`--holdfast-network isolated`"
        )
    if kind.clusters == ("containers",) and lab.kind != "containers":
        raise FaultFailed(
            f"{kind.name} needs brokers in containers: run pytest with `--holdfast-cluster containers`"
        )
    if (what := _of_their_own(kind, parameters, lab)) is not None:
        raise FaultFailed(
            f"{kind.name} needs brokers of its own {what}, and those of this test run already: use "
            "`chaos.run`, which starts such brokers for a whole experiment"
        )


def _of_their_own(kind: FaultKind, parameters: Mapping[str, object], lab: Lab) -> str | None:
    """What brokers have to be started with for a fault, in words; None if these were."""
    area = kind.name.partition(".")[0]
    if area == "disk" and lab.disks is None:
        return "with small disks"
    if area == "clock" and lab.clocks is None:
        return "whose clocks can be set"
    if parameters.get("upgrade_from") is not None:
        return "that begin with an older Kafka"
    return None

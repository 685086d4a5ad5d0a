"""What a machine lacks for an experiment, and which faults remain: pure, as the facts are handed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.chaos.experiment.catalogue import KINDS, ClusterKind
from holdfast.chaos.experiment.model import Experiment
from holdfast.chaos.experiment.needs import CONTAINER_ENGINE, LOOP_DISKS, NAMESPACES, Need


@dataclass(frozen=True, slots=True)
class Facts:
    """What this machine and this user have, as far as a fault needs it.

    Attributes:
        capabilities: in effect for this process, such as `CAP_NET_ADMIN`.
        devices: of the files that needs name, those that can be opened.
        parts: of the other things that needs name (`Need.parts`), those that were found.
    """

    capabilities: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()

    def lacking(self, need: Need) -> tuple[str, ...]:
        """Return what of a need is not there."""
        there = self.capabilities | self.devices | self.parts
        return tuple(part for part in need.all_parts if part not in there)


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is missing.

    Attributes:
        what: the faults that need it, by name, or what of the cluster does.
        need: what they need.
        missing: the parts of it that are not there.
    """

    what: tuple[str, ...]
    need: Need
    missing: tuple[str, ...]

    def __str__(self) -> str:
        verb = "needs" if len(self.what) == 1 else "need"
        return f"{', '.join(self.what)} {verb} {_listed(self.missing)}: {self.need.remedy}"


def lacks(experiment: Experiment, facts: Facts) -> tuple[Lack, ...]:
    """Return what is missing for an experiment, each need once; nothing where it can be run."""
    users: dict[Need, list[str]] = {}
    for what, need in _needed(experiment):
        if what not in users.setdefault(need, []):
            users[need].append(what)
    found = ((what, need, facts.lacking(need)) for need, what in users.items())
    return tuple(Lack(tuple(what), need, missing) for what, need, missing in found if missing)


def remaining(cluster: ClusterKind, facts: Facts) -> tuple[str, ...]:
    """Return the kinds of faults that can be done to a cluster of this kind on this machine."""
    return tuple(
        kind.name
        for kind in KINDS.values()
        if cluster in kind.clusters and not any(facts.lacking(need) for need in kind.needs_on(cluster))
    )


def explain(experiment: Experiment, facts: Facts) -> str:
    """Word what is missing and what can be done without it, for a user; empty where nothing is missing."""
    missing = lacks(experiment, facts)
    if not missing:
        return ""
    kind = experiment.cluster.kind
    remain = ", ".join(remaining(kind, facts))
    rest = (
        f"Faults that remain on a cluster of kind `{kind}`: {remain}."
        if remain
        else _other_cluster(kind, facts)
    )
    return "\n".join((*(f"{lack}." for lack in missing), rest))


def needs_of(experiment: Experiment) -> tuple[Need, ...]:
    """Return what an experiment needs of the machine, each once."""
    return tuple(dict.fromkeys(need for _, need in _needed(experiment)))


def _needed(experiment: Experiment) -> Iterable[tuple[str, Need]]:
    cluster = experiment.cluster
    if cluster.kind == "containers":
        yield "`kind: containers`", CONTAINER_ENGINE
    for fault in experiment.faults:
        for need in fault.kind.needs:
            yield fault.kind.name, need
    # The cluster is started so, whichever faults there are.
    if cluster.network == "isolated":
        yield "`network: isolated`", NAMESPACES
    if cluster.disk == "small":
        yield "`disk: small`", LOOP_DISKS


def _other_cluster(kind: ClusterKind, facts: Facts) -> str:
    return (
        f"Nothing remains on a cluster of kind `{kind}`. On an embedded one: "
        f"{', '.join(remaining('embedded', facts))}."
    )


def _listed(parts: tuple[str, ...]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

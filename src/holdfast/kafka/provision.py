"""Brings a cluster's topics to a topology's declaration."""

from __future__ import annotations

from holdfast.errors import ClusterMismatch
from holdfast.kafka.admin import TopicAdmin
from holdfast.topology import Difference, Topology, plan


def compare(admin: TopicAdmin, topology: Topology) -> tuple[Difference, ...]:
    """Return how the cluster differs from the declaration; changes nothing."""
    found = admin.topics([spec.name for spec in topology.topic_specs()])
    return plan(topology, {name: state.spec for name, state in found.items()})


def provision(admin: TopicAdmin, topology: Topology, *, dry_run: bool = False) -> tuple[str, ...]:
    """Create the topics that are missing; every other difference is an error.

    Nothing is created unless all differences can be resolved and the brokers accept every topic.

    Args:
        admin: the cluster.
        topology: the declaration.
        dry_run: stop before anything is created.

    Returns:
        The names of the topics that were missing; nothing means that the cluster is as declared.

    Raises:
        ClusterMismatch: something differs that Holdfast will not change; says what to do.
        TopicRefused: the brokers refuse a topic.
        ClusterError: the brokers do not answer, or not in time.
    """
    missing = _missing(compare(admin, topology))
    specs = [difference.wanted for difference in missing]
    admin.create(specs, validate_only=True)
    if specs and not dry_run:
        admin.create(specs)
        # Somebody else may have created one of them in the meantime, in another way.
        _missing(compare(admin, topology))
    return tuple(spec.name for spec in specs)


def _missing(differences: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """Return the differences, all of them missing topics.

    Raises:
        ClusterMismatch: there are others.
    """
    mismatches = [difference.text for difference in differences if difference.is_mismatch]
    if mismatches:
        raise ClusterMismatch("the cluster is not as declared:\n" + "\n".join(mismatches))
    return differences

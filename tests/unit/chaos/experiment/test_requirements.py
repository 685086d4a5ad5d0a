"""What a machine lacks is told with what to do, and with the faults that remain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.chaos.experiment import KINDS, NEEDS, Facts, explain, lacks, load, needs_of, remaining
from holdfast.chaos.experiment.needs import CONTAINER_ENGINE, FAKETIME, LOOP_DISKS, NAMESPACES

READY = Path(__file__).parents[4] / "chaos"
EVERYTHING = Facts(
    capabilities=frozenset(part for need in NEEDS for part in need.capabilities),
    devices=frozenset(part for need in NEEDS for part in need.devices),
    parts=frozenset(part for need in NEEDS for part in need.parts),
)
PROCESSES = tuple(name for name in KINDS if name.startswith(("broker.", "worker.", "sink.")))


@pytest.mark.parametrize("path", sorted(READY.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_machine_that_has_everything_can_run_each_ready_experiment(path: Path) -> None:
    experiment = load(path)
    assert lacks(experiment, EVERYTHING) == ()
    assert explain(experiment, EVERYTHING) == ""


def test_a_network_fault_without_permission_says_what_is_needed_and_what_remains() -> None:
    """In one message, each need once, with all that wants it."""
    network, remain = explain(load(READY / "slow-network.yaml"), Facts()).splitlines()
    assert network == (
        "network.delay, network.rate, network.loss, `network: isolated` need CAP_NET_ADMIN, CAP_SYS_ADMIN, "
        "/dev/net/tun and nsenter: run as root, or in a container that is privileged (docker run --cap-add "
        "NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun), with util-linux."
    )
    assert remain == f"Faults that remain on a cluster of kind `embedded`: {', '.join(PROCESSES)}."


def test_only_what_is_missing_is_told() -> None:
    """Root in a container often has the capabilities and not the device."""
    facts = Facts(capabilities=frozenset(NAMESPACES.capabilities), parts=frozenset(NAMESPACES.parts))
    (lack,) = lacks(load(READY / "broker-partitioned.yaml"), facts)
    assert (lack.need, lack.missing) == (NAMESPACES, ("/dev/net/tun",))
    assert str(lack).startswith("network.partition, `network: isolated` need /dev/net/tun: run as root")


def test_one_that_needs_nothing_runs_anywhere() -> None:
    assert explain(load(READY / "leader-killed.yaml"), Facts()) == ""


def test_containers_without_an_engine_leave_the_embedded_cluster() -> None:
    said = explain(load(READY / "containers-disconnected.yaml"), Facts())
    assert "`kind: containers` needs a Docker engine and the extra `containers` of Holdfast: start" in said
    assert (
        f"Nothing remains on a cluster of kind `containers`. On an embedded one: {', '.join(PROCESSES)}."
        in said
    )


def test_a_library_that_is_not_there_is_named_with_its_package() -> None:
    assert "clock.jump needs libfaketime: install it (Debian, Ubuntu: apt install libfaketime" in explain(
        load(READY / "clock-jump.yaml"), Facts()
    )


def test_a_program_that_is_not_there_is_named_before_anything_is_started() -> None:
    facts = replace(EVERYTHING, parts=EVERYTHING.parts - {"mkfs.ext4"})
    assert "`disk: small` need mkfs.ext4: run as root" in explain(load(READY / "disk-full.yaml"), facts)


def test_what_remains_depends_on_the_cluster_and_on_each_need() -> None:
    """Everything for an embedded cluster on a machine that has everything, but what only containers have."""
    assert set(KINDS) - set(remaining("embedded", EVERYTHING)) == {"network.disconnect"}
    assert {"broker.kill", "network.disconnect"} <= set(remaining("containers", EVERYTHING))
    assert set(remaining("external", EVERYTHING)) == {name for name in KINDS if name.startswith("worker.")}
    assert remaining("containers", Facts()) == ()
    disks = Facts(
        frozenset(LOOP_DISKS.capabilities), frozenset(LOOP_DISKS.devices), frozenset(LOOP_DISKS.parts)
    )
    assert set(remaining("embedded", disks)) - set(PROCESSES) == {"disk.full", "disk.slow"}


def test_an_experiment_names_its_needs_before_it_is_run() -> None:
    """For a list."""
    needs = {path.stem: needs_of(load(path)) for path in READY.glob("*.yaml")}
    assert needs["leader-killed"] == ()
    assert needs["one-way-partition"] == (NAMESPACES,)
    assert needs["disk-full"] == (LOOP_DISKS,)
    assert needs["clock-jump"] == (FAKETIME,)
    assert needs["containers-disconnected"] == (CONTAINER_ENGINE,)

"""Which faults a test can have of its brokers, and what is said about the others."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from holdfast.chaos.faults.fault import Evidence, Fault
from holdfast.chaos.kit import chaos as kit
from holdfast.chaos.kit.chaos import Chaos
from holdfast.chaos.network.isolated import Pair
from holdfast.chaos.network.links import LinkCount, LinkRule, Met
from holdfast.chaos.run.faults import Aimed
from holdfast.chaos.undo.journal import Journal
from holdfast.chaos.workloads.application_parts import load_application
from holdfast.errors import ChaosError, ExperimentErrors, FaultFailed
from tests.support.talking import talking


class Network:
    """A network that only notes what is imposed on it; every fault meets packets."""

    hosts = SimpleNamespace(workers=("worker-0",))

    def __init__(self) -> None:
        self.faults: dict[str, Mapping[Pair, LinkRule]] = {}

    def impose(self, fault: str, rules: Mapping[Pair, LinkRule]) -> None:
        self.faults[fault] = rules

    def lift(self, fault: str) -> None:
        del self.faults[fault]

    def counts(self) -> dict[Pair, LinkCount]:
        met = {fault: Met(dropped=1) for fault in self.faults}
        return {pair: LinkCount(met=met) for rules in self.faults.values() for pair in rules}


class Brokers:
    """Three brokers; a fault of their containers is not looked at here."""

    names: Sequence[str] = ("broker-1", "broker-2", "broker-3")


def lab(folder: Path, **has: object) -> Any:
    """Brokers that nobody has to start."""
    parts: dict[str, object] = {"kind": "embedded", "network": None, "disks": None, "clocks": None, **has}
    return SimpleNamespace(
        brokers=Brokers(), bootstrap_servers="127.0.0.1:1", journal=Journal(folder / "faults.jsonl"), **parts
    )


def chaos(folder: Path, application: Any = None, **has: object) -> Chaos:
    """What breaks them."""
    made = lab(folder, **has)
    return Chaos(lambda: made, folder, lambda: application)


class TwoEach:
    """The small application with two workers of each processor, and nobody who can be asked for more."""

    gates = None
    workers_each = 2

    def __init__(self, folder: Path) -> None:
        self.topology = load_application(talking(folder)).topology

    @property
    def workers(self) -> NoReturn:
        raise ChaosError("this is as far as it goes without brokers")


@pytest.mark.parametrize(
    ("kind", "target", "parameters", "told"),
    [
        ("disk.full", "leader", {}, r"disk\.full needs brokers of its own with small disks, .*`chaos\.run`"),
        (
            "clock.jump",
            "any",
            {"offset": "2h"},
            r"clock\.jump needs .* whose clocks can be set, .*`chaos\.run`",
        ),
        ("broker.rolling", None, {"upgrade_from": "4.2.1"}, r"begin with an older Kafka, .*`chaos\.run`"),
        ("network.delay", "leader", {"delay": "50ms"}, r"pytest with `--holdfast-network isolated`"),
        ("network.disconnect", "any", {}, r"in containers: run pytest with `--holdfast-cluster containers`"),
    ],
)
def test_what_the_brokers_of_a_test_cannot_have_is_refused_with_what_to_do(
    tmp_path: Path, kind: str, target: str | None, parameters: dict[str, str], told: str
) -> None:
    with (
        pytest.raises(FaultFailed, match=told),
        chaos(tmp_path).fault(kind, target, **parameters),
    ):
        pass


@pytest.mark.parametrize(
    ("kind", "target", "parameters", "told"),
    [
        *(("worker.scale", None, {"to": to}, "`worker.scale` is not for an application") for to in (1, 2, 3)),
        (
            "worker.kill",
            "worker-4",
            {},
            "no worker-4: 2 processors with 2 workers each are worker-0 to worker-3",
        ),
        ("worker.freeze", "owner of shard 4", {}, "there is no shard 4: first, the first processor, has 4"),
        ("broker.kill", "leader of nope/0", {}, "there is no topic nope"),
    ],
)
def test_what_does_not_fit_the_application_is_refused_as_in_a_run(
    tmp_path: Path, kind: str, target: str | None, parameters: dict[str, Any], told: str
) -> None:
    with (
        pytest.raises(ExperimentErrors, match=told),
        chaos(tmp_path, TwoEach(tmp_path)).fault(kind, target, **parameters),
    ):
        pass


@pytest.mark.parametrize("target", ["worker-3", "app leader", "all"])
def test_what_fits_the_application_is_not_refused(tmp_path: Path, target: str) -> None:
    with (
        pytest.raises(ChaosError, match="this is as far as it goes"),
        chaos(tmp_path, TwoEach(tmp_path)).fault("worker.kill", target),
    ):
        pass


@pytest.mark.parametrize(
    ("kind", "target", "parameters"),
    [("worker.kill", "worker-0", {}), ("worker.crash", "any", {}), ("worker.scale", None, {"to": 2})],
)
def test_a_fault_of_workers_in_a_test_without_any_says_how_to_have_some(
    tmp_path: Path, kind: str, target: str | None, parameters: dict[str, Any]
) -> None:
    with (
        pytest.raises(FaultFailed, match=rf"{kind} needs workers: .* `with topology\.running\(workers=2\)`"),
        chaos(tmp_path).fault(kind, target, **parameters),
    ):
        pass


class Nothing(Fault):
    """A fault that happens at once."""

    def begin(self) -> Evidence:
        return {}

    end = begin


def made_without_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every fault be one that does nothing, to broker-1."""
    made = SimpleNamespace(make=lambda _: Aimed(Nothing(), ("broker-1",)))
    monkeypatch.setattr(kit, "FaultMaker", lambda *_: made)


def test_brokers_in_containers_can_be_taken_off_their_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And they have no network that the lab can disturb otherwise."""
    made_without_brokers(monkeypatch)
    with chaos(tmp_path, kind="containers").fault("network.disconnect", "any") as fault:
        assert fault.hit == ("broker-1",)
    with (
        pytest.raises(ExperimentErrors, match="cannot be done to a cluster of kind `containers`"),
        chaos(tmp_path / "other", kind="containers", disks=object()).fault("disk.full", "leader"),
    ):
        pass


def test_a_fault_within_another_one_does_not_take_its_place(tmp_path: Path) -> None:
    network = Network()
    breaks = chaos(tmp_path, network=network)
    with breaks.fault("network.delay", "broker-1", peers="clients", delay="50ms"):
        with breaks.fault("network.loss", "broker-1", peers="clients", share=0.5):
            assert sorted(len(rules) for rules in network.faults.values()) == [2, 2]
        [rules] = network.faults.values()
        assert {rule.delay_s for rule in rules.values()} == {0.05}
    assert network.faults == {}


def test_a_fault_that_would_undo_the_one_around_it_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_without_brokers(monkeypatch)
    breaks = chaos(tmp_path)
    with (
        breaks.fault("broker.kill", "broker-1"),
        pytest.raises(FaultFailed, match=r"broker\.freeze was not done: .* does the same to broker-1"),
        breaks.fault("broker.freeze", "leader"),
    ):
        pass
    with breaks.fault("broker.freeze", "leader"):
        assert threading.active_count() > 1

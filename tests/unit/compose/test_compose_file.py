"""What compose.yaml promises, read from the file; that it keeps it is tested on a real engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "compose"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
ONCE = {"topics", "load", "verify"}
LASTING = sorted(SERVICES.keys() - ONCE)


@pytest.mark.parametrize("service", LASTING)
def test_what_runs_on_is_looked_after(service: str) -> None:
    """It says when it is healthy, comes back when it dies, and keeps no log without end."""
    declared = SERVICES[service]
    assert declared["restart"] == "unless-stopped"
    assert declared["init"] is True, "compose/crash kills all processes but the first"
    assert declared["logging"]["options"]["max-size"]
    assert "healthcheck" in declared or declared["image"].startswith("holdfast-kafka"), (
        "the image has its own"
    )


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_nothing_is_pulled_and_nothing_is_open_to_other_machines(service: str) -> None:
    """Images are made here; ports are this machine's."""
    declared = SERVICES[service]
    assert declared["pull_policy"] == "never"
    assert declared["image"].startswith("holdfast-")
    assert all(port.startswith("127.0.0.1:") for port in declared.get("ports", []))


def test_chaos_may_touch_all_but_what_only_watches() -> None:
    """A one-shot service has nothing to come back to, and Prometheus is a witness."""
    fair = {name for name, declared in SERVICES.items() if "com.holdfast.chaos" in declared.get("labels", {})}
    assert fair == set(LASTING) - {"prometheus"}


def test_every_processor_runs_in_one_of_the_two_groups() -> None:
    """One that is declared and not named here would never start."""
    declared = yaml.safe_load((ROOT / "topology.downstream.yaml").read_text())["processors"]
    named = [word for group in ("orders", "systems") for word in SERVICES[group]["command"][3:]]
    assert sorted(named) == sorted(declared)


def test_the_topology_differs_in_its_sinks_only() -> None:
    """There is no second declaration that somebody would have to keep the same."""
    made = yaml.safe_load(declare("sinks.yaml"))
    original = yaml.safe_load((ROOT / "topology.downstream.yaml").read_text())
    assert made.pop("sinks")["counters"]["master"] == "shop"
    assert original.pop("sinks").keys() == {"gateway", "history", "counters"}
    assert made == original


def test_a_sink_that_is_declared_and_has_no_address_here_is_told(tmp_path: Path) -> None:
    """When the image is made, not when a worker starts."""
    other = tmp_path / "sinks.yaml"
    other.write_text("sinks: {gateway: {type: http}}")
    with pytest.raises(AssertionError, match="they have to be the same"):
        declare(str(other))


def declare(sinks: str) -> str:
    """Run the script as the image's build does."""
    command = [sys.executable, "declare.py", "../topology.downstream.yaml", sinks]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=COMPOSE)
    assert done.returncode == 0, done.stderr
    return done.stdout

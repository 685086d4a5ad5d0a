"""Which runs a series has: the ready experiment `every-fault` with each workload and engine.

`downstream` is order to cash with a payment gateway, PostgreSQL and Redis, where faults hit these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from holdfast.chaos.experiment import INVARIANTS
from holdfast.chaos.experiment.invariants import WITH_PROCESSOR_SETTINGS, WITHOUT_TRANSACTIONS
from tests.support.shop_systems import shop

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "chaos" / "every-fault.yaml"

OF_LOG = ["no-lost-writes", "transactions-finished"]

CHECKS = [
    *(f"processors.invariants:{name}" for name in ("every_order_is_closed_once", "stock_is_conserved")),
    *(f"processors.invariants:{name}" for name in ("ledger_balances", "credit_is_kept", "nothing_set_aside")),
]
"""Of order to cash; that of its Faust view is about Faust."""

WORKLOADS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "sequence": (
        {"kind": "sequence", "rate": 2000, "keys": 2000, "standby": 1},
        ["exactly-once", "state-fold", "per-key-order", *OF_LOG],
    ),
    "bank": (
        {"kind": "bank", "rate": 2000, "keys": 2000, "standby": 1},
        ["exactly-once", "state-fold", "conservation", *OF_LOG],
    ),
    "raw": (
        {"kind": "raw", "rate": 2000, "workers": 4},
        [
            *("no-duplicates", "consistent-offsets", "atomic-transactions", "no-aborted-reads"),
            *("no-precommitted-reads", "monotonic-polls", "monotonic-sends", "no-cycles", *OF_LOG),
        ],
    ),
    "application": (
        {
            "kind": "application",
            "topology": str(ROOT / "topology.yaml"),
            "workers": 1,
            # An order makes some twelve records: 2,000 of them a second.
            "rate": 165,
            "arguments": {"orders": {"count": 60_000, "skus": 300}},
            "checks": CHECKS,
        },
        ["application-checks", "no-duplicates", "consistent-offsets", "per-key-order", *OF_LOG],
    ),
    "downstream": (
        {
            "kind": "application",
            "output": "order-outcomes",
            "workers": 1,
            "rate": 60,
            "arguments": {"orders": {"count": 60_000, "skus": 300}},
        },
        ["application-checks", "no-duplicates", "consistent-offsets", "per-key-order", *OF_LOG],
    ),
}
"""What is asked of each workload, and what has to hold."""

FAUST_RATE = 150
"""Events in a second that stock Faust bears on two cores beside three brokers."""

OF_APPLICATIONS = ("application", "downstream")

OF_SINKS = [
    {"fault": "sink.down", "target": "all"},
    *({"fault": "sink.down", "target": f"sink {name}"} for name in ("gateway", "history", "counters")),
    *({"fault": "sink.slow", "target": f"sink {name}", "delay": "3s"} for name in ("gateway", "history")),
    {"fault": "sink.wrong", "target": "sink gateway", "share": 0.5},
    {"fault": "worker.crash", "target": "all"},
    {"fault": "broker.kill", "target": "leader"},
]
"""The faults of `downstream`: those of its systems, and what may come in the midst of their calls."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A workload on an engine: one experiment of the series.

    Attributes:
        workload: its kind.
        engine: what processes it.
    """

    workload: str
    engine: str

    @property
    def name(self) -> str:
        """Of the experiment."""
        return f"{self.workload}-{self.engine}"

    def _can_have(self, fault: dict[str, Any]) -> bool:
        match self.workload:
            case "raw":
                # Its clients assign partitions to themselves.
                return bool(fault.get("target") != "group coordinator")
            case "application":
                return bool(fault["fault"] != "worker.scale")
            case _:
                return True

    @contextmanager
    def systems(self, home: Path) -> Iterator[tuple[Mapping[str, Any], Mapping[str, str]]]:
        """Run what one run needs beside brokers, from nothing, while the block lasts.

        Args:
            home: a folder to make, of this run.

        Yields:
            What its workload has to say of it, and variables for its environment.
        """
        if self.workload != "downstream":
            yield {}, {}
            return
        with shop(home) as made:
            yield {"topology": str(made.topology)}, made.environment

    def write(self, folder: Path, systems: Mapping[str, Any]) -> Path:
        """Write the experiment's file.

        Args:
            folder: where to.
            systems: what `systems` said.
        """
        declared = yaml.safe_load(BASE.read_text(encoding="utf-8"))
        workload, invariants = WORKLOADS[self.workload]
        workload = {**workload, **systems}
        if self.engine != "holdfast":
            workload["engine"] = self.engine
        if self.engine.startswith("faust"):
            workload["rate"] = FAUST_RATE
        if self.engine not in WITH_PROCESSOR_SETTINGS:
            workload.pop("standby", None)
        if self.engine in WITHOUT_TRANSACTIONS:
            invariants = [name for name in invariants if not INVARIANTS[name].transactions]
        mix = declared["random"]
        choose = OF_SINKS if self.workload == "downstream" else mix["choose"]
        mix["choose"] = [one for one in choose if self._can_have(one)]
        if self.workload in OF_APPLICATIONS:
            # The way through all of it is nine transactions long. Two cores give no more at this rate:
            # in good times an order takes them 3 to 9 s.
            declared["steady_state"] = {"fresh_within": "10s", "for": "5s", "reached_within": "120s"}
            declared["drain"] = "180s"
            declared["abort"] = {"output_stale_for": "180s"}
            mix["every"] = "20s"
        declared |= {"name": self.name, "workload": workload, "invariants": invariants}
        path = folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(declared, sort_keys=False, width=100), encoding="utf-8")
        return path


def folder_of(home: Path, kind: Kind, seed: int) -> Path | None:
    """The folder of a run that was brought to its end; None if there is none."""
    found = sorted(home.glob(f"chaos-runs/{kind.name}-*-seed-{seed}/run.json"))
    return found[-1].parent if found else None

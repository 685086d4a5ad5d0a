"""Which runs a series has: the ready experiment `every-fault` with each workload and engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "chaos" / "every-fault.yaml"

OF_LOG = ["no-lost-writes", "no-unseen-writes", "transactions-finished"]

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
            *("no-duplicates", "consistent-offsets", "no-aborted-reads", "no-precommitted-reads"),
            *("monotonic-polls", "monotonic-sends", "no-cycles", *OF_LOG),
        ],
    ),
}
"""What is asked of each workload, and what has to hold."""


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

    def write(self, folder: Path) -> Path:
        """Write the experiment's file."""
        declared = yaml.safe_load(BASE.read_text(encoding="utf-8"))
        workload, invariants = WORKLOADS[self.workload]
        if self.engine != "holdfast":
            workload = {**workload, "engine": self.engine}
        if self.workload == "raw":
            # Its clients assign partitions to themselves.
            mix = declared["random"]
            mix["choose"] = [one for one in mix["choose"] if one.get("target") != "group coordinator"]
        declared |= {"name": self.name, "workload": workload, "invariants": invariants}
        path = folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(declared, sort_keys=False, width=100), encoding="utf-8")
        return path


def folder_of(home: Path, kind: Kind, seed: int) -> Path | None:
    """The folder of a run that was brought to its end; None if there is none."""
    found = sorted(home.glob(f"chaos-runs/{kind.name}-*-seed-{seed}/run.json"))
    return found[-1].parent if found else None

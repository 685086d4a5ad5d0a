"""A run in a few plain values, for programs: `summary.json`, and `holdfast chaos report --json`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from holdfast.chaos.report.recovery import KindRecovery, recovery_by_kind
from holdfast.chaos.report.verdict import problem_count, published, verdict_of
from holdfast.chaos.run.result import InvariantResult, RunResult


def summary_of(result: RunResult) -> dict[str, Any]:
    """Verdict, claims and recovery of a run; times in seconds. What is in it stays, other keys may come."""
    verdict = verdict_of(result)
    return {
        "experiment": result.experiment,
        "seed": result.seed,
        "began": result.began,
        "validity": verdict.validity,
        "verdict": verdict.headline,
        "remarks": list(verdict.remarks),
        "events": published(result),
        "faults": len(result.faults),
        "failed_faults": sum(bool(fault.error) for fault in result.faults),
        "invariants": [_invariant(invariant) for invariant in result.invariants],
        "recovery": [_recovery(kind) for kind in recovery_by_kind(result)],
        "counts": dict(result.counts),
        "versions": dict(result.versions),
        "command": result.command,
    }


def _invariant(invariant: InvariantResult) -> dict[str, Any]:
    return {
        "name": invariant.name,
        "validity": invariant.validity,
        "looked_at": invariant.looked_at,
        "violations": problem_count(invariant, "invalid"),
        "problems": [asdict(problem) for problem in invariant.problems],
    }


def _recovery(kind: KindRecovery) -> dict[str, Any]:
    named = {"detection": "detection_s", "longest_gap": "longest_gap_s", "back_to_normal": "back_to_normal_s"}
    return {named.get(key, key): value for key, value in asdict(kind).items()}


def summary_text(result: RunResult) -> str:
    """The same as a file's text."""
    return json.dumps(summary_of(result), indent=1, ensure_ascii=False) + "\n"

"""The catalogue of faults agrees with itself, with the ready experiments and with the guide."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from holdfast.chaos.experiment import FORMS, INVARIANTS, KINDS, FaultKind, Group, load
from holdfast.chaos.experiment.catalogue import REQUIRED
from holdfast.chaos.experiment.entries import keys_of, timed_fault, weighted_fault
from holdfast.chaos.experiment.model import (
    Abort,
    Bounds,
    Cluster,
    Declaration,
    Mix,
    OwnInvariant,
    Processor,
    SteadyState,
    Workload,
)
from holdfast.declaration.wording import known_keys

ROOT = Path(__file__).parents[4]
GUIDE = (ROOT / "docs" / "guide" / "chaos-experiments.md").read_text(encoding="utf-8")
MODELS = (Declaration, Cluster, Workload, Processor, SteadyState, Mix, Bounds, Abort, OwnInvariant)

TARGETS = {
    Group.BROKER: "leader",
    Group.WORKER: "worker-0",
    Group.SIDE: "clients",
    Group.SINK: "all",
    None: None,
}
VALUES: dict[str, Any] = {"to": 5, "delay": "10ms", "share": 0.5, "rate": "1mbit", "offset": "-2h"}


def entry(kind: FaultKind) -> dict[str, Any]:
    """A fault of a kind as a file would say it, with nothing that has a default."""
    required = {it.name: VALUES[it.name] for it in kind.parameters if it.default is REQUIRED}
    target = {} if kind.target or kind.group is None else {"target": TARGETS[kind.group]}
    return {"fault": kind.name, **target, **required}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_can_be_written_and_its_defaults_are_values(kind: FaultKind) -> None:
    lasting = {"for": "5s"} if kind.lasts else {}
    timed = timed_fault({"at": "10s", **lasting, **entry(kind)}, ("faults", 0))
    weighted = weighted_fault(entry(kind), ("random", "choose", 0))
    assert timed.problems == weighted.problems == ()
    assert timed.value.fault == weighted.value.fault
    assert timed.value.for_ms == (5_000 if kind.lasts else None)
    assert set(timed.value.fault.parameters) == {it.name for it in kind.parameters}
    assert (timed.value.fault.target is None) is (kind.group is None)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_fault_lasts_for_some_time_or_is_an_instant(kind: FaultKind) -> None:
    """What undoes itself says when; what does not cannot."""
    lasting = {} if kind.lasts else {"for": "5s"}
    found = timed_fault({"at": "10s", **lasting, **entry(kind)}, ("faults", 0))
    (problem,) = found.problems
    assert problem.at == ("faults", 0, "for")
    assert ("missing" if kind.lasts else "instant") in problem.text


def test_a_kind_is_named_after_what_it_hits() -> None:
    """`thing.what`, and each setting that one needs is a choice of the cluster."""
    for kind in KINDS.values():
        assert re.fullmatch(r"(broker|worker|network|disk|clock|sink)\.[a-z]+", kind.name)
        if kind.setting is not None:
            key, value = kind.setting
            assert getattr(Cluster.model_validate({key: value}), key) == value


def test_the_ready_experiments_use_every_kind() -> None:
    used = {fault.kind.name for path in (ROOT / "chaos").glob("*.yaml") for fault in load(path).faults}
    assert set(KINDS) == used


def rows(title: str) -> dict[str, list[str]]:
    """The rows of a table in the guide, by what is in their first cell."""
    section = GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in section.splitlines()
        if "|" in line
    ]
    return {row[0].strip("| `"): [cell.strip("| ") for cell in row[1:]] for row in cells[2:]}


def test_the_guide_has_the_table_of_faults() -> None:
    """Each kind with what it means, its keys, where it can be done and what it needs."""
    expected = {
        kind.name: [
            kind.meaning,
            kind.group.value if kind.group else "",
            ", ".join(
                f"`{it.name}`{'' if it.default is REQUIRED or it.default is None else f' ({it.default})'}"
                for it in kind.parameters
            ),
            ", ".join(kind.clusters),
            ", ".join(
                (
                    *(need.name for need in kind.needs),
                    *((f"`{': '.join(kind.setting)}`",) if kind.setting else ()),
                    *((f"{kind.least_brokers} brokers",) if kind.least_brokers > 1 else ()),
                )
            ),
        ]
        for kind in KINDS.values()
    }
    assert rows("Faults") == expected


def test_the_guide_has_the_table_of_targets() -> None:
    """Each form with what it means, for each group of faults."""
    text = GUIDE.partition("\n## Targets\n")[2].partition("\n## ")[0]
    for form in FORMS:
        line = f"| `{form.text}` | {', '.join(sorted(form.groups))} | {form.meaning} |"
        assert line in text, line
    assert len(re.findall(r"^\| `", text, flags=re.MULTILINE)) == len(FORMS)


def test_the_guide_has_the_table_of_invariants() -> None:
    """Each with what it means, and of which workloads it can be told."""
    expected = {it.name: [it.meaning, ", ".join(it.workloads)] for it in INVARIANTS.values()}
    assert rows("Invariants") == expected


def test_the_guide_names_every_key() -> None:
    """A new key needs a line there."""
    keys = {key for model in MODELS for key in known_keys(model)}
    keys |= {key for kind in KINDS.values() for key in keys_of(kind)}
    assert [key for key in sorted(keys) if f"`{key}`" not in GUIDE and f"`{key}:" not in GUIDE] == []


def test_every_key_has_a_description() -> None:
    """What is missing is told with it."""
    bare = [
        (model.__name__, name)
        for model in MODELS
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert bare == []

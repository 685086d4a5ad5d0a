"""Chaos runs that never were: results as a run would save them, from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from holdfast.chaos.run.result import (
    FaultSpan,
    FoundProblem,
    InvariantResult,
    Recovery,
    RunResult,
    Sample,
    Span,
)

HOSTILE = "<script>alert('x')</script>\"'&\u202egnp.exe\x00\x1b[31m]]>"
"""A name that would break a page, a terminal, an attribute or an XML file."""

KINDS = ("worker.kill", "broker.kill", "worker.freeze", "network.partition", "disk.slow", "broker.rolling")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a run is like.

    Attributes:
        seed: decides everything else.
        load_s: for how long events are offered.
        faults: how many there are.
        shards: of the input.
        workers: that share the shards.
        every_s: seconds of a sample.
        rate: events in a second.
        kinds: of faults, one after the other.
    """

    seed: int = 1
    load_s: float = 120.0
    faults: int = 6
    shards: int = 6
    workers: int = 3
    every_s: float = 0.5
    rate: int = 2000
    kinds: Sequence[str] = KINDS


def valid_run(shape: Shape = Shape()) -> RunResult:
    """A run in which everything holds."""
    rng = random.Random(shape.seed)
    faults = _faults(shape, rng)
    out = {i: 1.5 + rng.random() * 6 for i in range(len(faults))}
    samples = tuple(_samples(shape, rng, faults, out))
    return RunResult(
        experiment="random-mix",
        description="Everything that can break does, at random. Nothing acknowledged is lost or doubled.",
        file="chaos/random-mix.yaml",
        seed=shape.seed,
        command=f"holdfast chaos run chaos/random-mix.yaml --seed {shape.seed}",
        began=f"2026-11-{1 + shape.seed % 28:02}T13:45:12+00:00",
        machine="2 cores, 8 GB, Linux 6.1, Python 3.11.7",
        versions={"holdfast": "0.1.0", "kafka": "4.3.1", "confluent-kafka": "2.15.0", "librdkafka": "2.15.0"},
        workload={
            "kind": "sequence",
            "engine": "holdfast",
            "rate": shape.rate,
            "keys": 1000,
            "partitions": shape.shards,
            "workers": shape.workers,
            "replication": 3,
        },
        load_s=shape.load_s,
        whole_s=shape.load_s + 41.5,
        counts={
            "published": sum(it.published for it in samples),
            "acknowledged": sum(it.published for it in samples) - 12,
            "unknown": 12,
            "outputs": sum(it.committed for it in samples),
        },
        invariants=_claims(samples),
        faults=faults,
        recovery=tuple(
            Recovery(i, round(length * 0.6, 2), round(length, 2), round(length + 1.2, 2))
            for i, length in out.items()
        ),
        samples=samples,
        owners=tuple(_owners(shape, faults, out)),
        leaders=tuple(_leaders(shape, faults)),
        breakers=_breakers(shape),
    )


def invalid_run(shape: Shape = Shape(seed=2)) -> RunResult:
    """The same with lost writes and duplicates, and something that is allowed."""
    run = valid_run(shape)
    lost = FoundProblem(
        "lost-write",
        "invalid",
        3,
        (
            'input/2 offset 81,204 key "k-17" value 4711: acknowledged at 23.41 s, never read',
            'input/2 offset 81,205 key "k-201" value 4712: acknowledged at 23.41 s by process 3; never read',
        ),
    )
    doubled = FoundProblem(
        "duplicate",
        "invalid",
        12,
        ('output/4 offsets 9,102 and 9,377 hold the same: key "k-3", number 118, from input/4 offset 9,054',),
    )
    allowed = FoundProblem(
        "unseen", "valid", 12, (), "their acknowledgement is unknown, so they need not be there"
    )
    claims = {it.name: it for it in run.invariants}
    claims["exactly-once"] = replace(claims["exactly-once"], validity="invalid", problems=(lost, doubled))
    claims["no-lost-writes"] = replace(claims["no-lost-writes"], validity="invalid", problems=(lost, allowed))
    return replace(run, invariants=tuple(claims.values()))


def unknown_run(shape: Shape = Shape(seed=3, faults=3)) -> RunResult:
    """A run that was aborted, with a fault that did not happen and one that was not undone."""
    run = valid_run(shape)
    failed = replace(
        run.faults[0], error="broker 2 is not the leader of input/0 any more", hit=(), evidence={}
    )
    left = replace(run.faults[-1], ended=None)
    unsure = FoundProblem(
        "open-transaction", "unknown", 1, ("txn holdfast-2 is open since 88.2 s",), "the run ended early"
    )
    claims = (*run.invariants[:-1], replace(run.invariants[-1], validity="unknown", problems=(unsure,)))
    trouble = ("the output stood still for 60 s, which the experiment's abort condition does not allow",)
    return replace(
        run,
        trouble=trouble,
        faults=(failed, *run.faults[1:-1], left),
        invariants=claims,
        recovery=(replace(run.recovery[1], back_to_normal=None, detection=None),),
    )


def huge_run() -> RunResult:
    """An hour, a hundred shards, two hundred faults, more than five thousand samples."""
    return valid_run(
        Shape(seed=4, load_s=3600.0, faults=200, shards=100, workers=12, every_s=0.7, rate=20_000)
    )


def tiny_run() -> RunResult:
    """A second, one shard, no fault."""
    return replace(valid_run(Shape(seed=5, load_s=1.0, faults=0, shards=1, workers=1)), breakers=())


def empty_run() -> RunResult:
    """A run that ended before anything was seen."""
    run = valid_run(Shape(seed=6, load_s=0.0, faults=0))
    return replace(
        run,
        samples=(),
        owners=(),
        leaders=(),
        breakers=(),
        counts={},
        invariants=(),
        recovery=(),
        trouble=("the steady state was not reached within 60 s: no output was seen",),
    )


def hostile_run() -> RunResult:
    """Every text is `HOSTILE`."""
    run = invalid_run(Shape(seed=7, faults=4, shards=4))
    problem = FoundProblem(HOSTILE, "invalid", 2, (HOSTILE, HOSTILE * 20), HOSTILE)
    spans = tuple(
        replace(it, subject=f"{HOSTILE}/{it.subject}", state=HOSTILE + it.state) for it in run.owners
    )
    return replace(
        run,
        experiment=HOSTILE,
        description=HOSTILE,
        file=HOSTILE,
        command=HOSTILE,
        began=HOSTILE,
        machine=HOSTILE,
        versions={HOSTILE: HOSTILE},
        workload={HOSTILE: HOSTILE},
        counts={HOSTILE: 1},
        trouble=(HOSTILE,),
        invariants=(InvariantResult(HOSTILE, "invalid", HOSTILE, (problem,)),),
        owners=spans,
        leaders=spans,
        breakers=spans,
        faults=tuple(
            replace(
                it, kind=HOSTILE, target=HOSTILE, hit=(HOSTILE,), evidence={HOSTILE: HOSTILE}, error=HOSTILE
            )
            for it in run.faults
        ),
    )


def _faults(shape: Shape, rng: random.Random) -> tuple[FaultSpan, ...]:
    room = (shape.load_s - 10) / max(shape.faults, 1)
    found = []
    for i in range(shape.faults):
        kind = shape.kinds[i % len(shape.kinds)]
        began = round(8 + i * room + rng.random() * room * 0.2, 3)
        hit = f"worker-{i % shape.workers}" if kind.startswith("worker") else f"broker-{1 + i % 3}"
        target = "any" if kind.startswith("worker") else "leader"
        ended = round(began + min(room * 0.5, 4 + rng.random() * 8), 3)
        shown = {"pid": 4000 + i, "exit": -9, "gone_after_ms": 12.5, "back_after_ms": 2140.0}
        found.append(FaultSpan(kind, target, (hit,), began, ended, shown))
    return tuple(found)


def _samples(
    shape: Shape, rng: random.Random, faults: Sequence[FaultSpan], out: dict[int, float]
) -> Iterator[Sample]:
    waiting = [0] * shape.shards
    silent = 0.0
    at = -10.0
    while at < shape.load_s + 8:
        at = round(at + shape.every_s, 3)
        offered = (
            round(shape.rate * shape.every_s * (0.97 + rng.random() * 0.06)) if at <= shape.load_s else 0
        )
        down = [i for i, it in enumerate(faults) if it.began <= at < it.began + out[i]]
        dead = {
            shard for i in down for shard in range(shape.shards) if shard % shape.workers == i % shape.workers
        }
        all_of_it = any(faults[i].kind == "broker.kill" and at < faults[i].began + out[i] * 0.4 for i in down)
        silent = silent + shape.every_s if dead else rng.random() * 0.15
        committed = 0
        for shard in range(shape.shards):
            waiting[shard] += offered // shape.shards
            done = (
                0
                if all_of_it or shard in dead
                else min(waiting[shard], round(shape.rate * shape.every_s * 2.2 / shape.shards))
            )
            waiting[shard] -= done
            committed += done
        p50 = 25 + rng.random() * 20 + (max(waiting) / shape.rate * 1000 if max(waiting) else 0)
        latency = (
            (p50, p50 * (1.6 + rng.random()), p50 * (3 + rng.random() * 3 + len(down) * 9))
            if committed
            else None
        )
        lag = () if all_of_it and rng.random() < 0.5 else tuple(waiting)
        yield Sample(at, shape.every_s, offered, committed, latency, lag, round(silent, 3))


def _owners(shape: Shape, faults: Sequence[FaultSpan], out: dict[int, float]) -> Iterator[Span]:
    """Whose worker is hit loses its shards to the next one, after the time in which they were silent."""
    for shard in range(shape.shards):
        owner, since = shard % shape.workers, -12.0
        for i, fault in enumerate(faults):
            if fault.kind.startswith("worker") and i % shape.workers == owner:
                yield Span(str(shard), f"worker-{owner}", since, fault.began)
                owner, since = (owner + 1 + shard) % shape.workers, fault.began + out[i] * 0.8
        yield Span(str(shard), f"worker-{owner}", since, None)


def _leaders(shape: Shape, faults: Sequence[FaultSpan]) -> Iterator[Span]:
    for partition in range(shape.shards):
        leader, since = partition % 3, -12.0
        for i, fault in enumerate(faults):
            if fault.kind.startswith("broker") and i % 3 == leader:
                yield Span(f"orders/{partition}", f"broker-{leader + 1}", since, fault.began)
                leader, since = (leader + 1) % 3, fault.began + 0.4
        yield Span(f"orders/{partition}", f"broker-{leader + 1}", since, None)


def _breakers(shape: Shape) -> tuple[Span, ...]:
    third = shape.load_s / 3
    return (
        Span("payments", "closed", -12.0, third),
        Span("payments", "open", third, third + 9),
        Span("payments", "half-open", third + 9, third + 12),
        Span("payments", "closed", third + 12, None),
        Span("history", "closed", -12.0, None),
    )


def _claims(samples: Sequence[Sample]) -> tuple[InvariantResult, ...]:
    count = sum(it.published for it in samples)
    looked_at = {
        "exactly-once": f"{count:,} inputs and their outputs",
        "no-lost-writes": f"{count:,} acknowledged writes in 6 partitions",
        "per-key-order": f"1,000 keys, {count:,} outputs",
        "state-fold": f"{count:,} outputs folded",
        "transactions-finished": "12 partitions, 3 transactional ids",
    }
    return tuple(InvariantResult(name, "valid", text) for name, text in looked_at.items())

"""The catalogue: each mistake with the workload and the faults that show it, and the rule that must catch it.

What is right runs in the same experiments, where nothing may be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from holdfast.chaos.clients.loop.mistakes import Mistake
from holdfast.chaos.clients.loop.orders import AT_LEAST_ONCE, CLIENT, FAUST, Control
from holdfast.chaos.experiment import Experiment, build
from holdfast.chaos.experiment.invariants import WITHOUT_TRANSACTIONS
from holdfast.declaration.source import Parsed, Source

HOLDFAST = "holdfast"

RAW = "raw"
"""The workload whose clients work by themselves: no engine does."""

ABORTS = 0.05
LOST_ANSWERS = 0.05
"""Of the transactions of a run, where they are injected: some ten to twenty of several hundred."""

FAUST_RATE = 150
"""Of Faust, which asks the brokers anew for each record: it must not be caught for being slow."""

BROKERS: Mapping[str, Any] = {
    # Brokers look for transactions that are open for too long once a second, not once in ten: what a frozen
    # worker left open does not hold up the others for so long, and a run is short.
    "broker_config": {"transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000},
}
"""All cases are run on the same brokers, one after the other."""


@dataclass(frozen=True)
class Situation:
    """The faults of a run.

    Attributes:
        name: what they are called.
        limit: how long the run's load lasts, as an experiment says it.
        fault: what happens, as an experiment says it.
    """

    name: str
    limit: str
    fault: Mapping[str, Any] = field(hash=False)


CRASHES = Situation(
    "crashes", "28s", {"at": "3s", "fault": "worker.crash", "target": "all", "times": 6, "every": "4s"}
)
"""All workers at once, in the midst of their units, and at once started again."""

AWAY = Situation(
    "away",
    "34s",
    {"at": "3s", "fault": "worker.kill", "target": "worker-0", "for": "6s", "times": 3, "every": "10s"},
)
"""One worker is gone for so long that others have its shards, and comes back; again and again."""

FROZEN = Situation(
    "frozen",
    "34s",
    {"at": "3s", "fault": "worker.freeze", "target": "any", "for": "8s", "times": 3, "every": "10s"},
)
"""One worker stands still until others have its shards, and goes on with the transaction that it had open."""

FROZEN_LONG = Situation(
    "frozen-long", "30s", {"at": "3s", "fault": "worker.freeze", "target": "worker-0", "for": "15s"}
)
"""The same, for so long that the brokers have ended its transaction meanwhile."""

LEADER = Situation("leader", "24s", {"at": "3s", "fault": "broker.kill", "target": "leader", "for": "5s"})
"""The broker that leads the first input partition is killed, and comes back."""

IN_BATCHES = (AWAY, FROZEN)
"""Where mistakes are looked for in the loop that gathers batches."""

_INVARIANTS: Mapping[str, tuple[str, ...]] = {
    "sequence": ("exactly-once", "state-fold"),
    "bank": ("exactly-once", "state-fold", "conservation"),
    RAW: ("no-lost-writes", "no-duplicates", "consistent-offsets", "no-aborted-reads", "no-cycles"),
}
_LOADS: Mapping[str, Mapping[str, Any]] = {
    "sequence": {"rate": 600, "keys": 60},
    "bank": {"rate": 300, "keys": 60},
    RAW: {"rate": 600},
}


@dataclass(frozen=True)
class Case:
    """One run of the catalogue.

    Attributes:
        name: what it is called.
        engine: what works.
        workload: what it works on.
        situation: which faults happen.
        rule: the rule that must find something; None if nothing may be found.
        control: what is done on purpose.
        rate: events in a second; None for what the workload has.
        is_short: whether it is one of many, which its seed chooses.
    """

    name: str
    engine: str
    workload: str
    situation: Situation
    rule: str | None
    control: Control = Control()  # noqa: RUF009 # frozen
    rate: int | None = None
    is_short: bool = False

    def command(self, seed: int) -> str:
        """What repeats it."""
        return f"holdfast chaos controls {'--short 1' if self.is_short else self.name} --seed {seed}"

    @property
    def faults(self) -> str:
        """The kind of its faults."""
        return str(self.situation.fault["fault"])

    def experiment(self) -> Experiment:
        """It as an experiment."""
        invariants = list(_INVARIANTS[self.workload])
        if self.engine not in WITHOUT_TRANSACTIONS:
            invariants.append("transactions-finished")
        declared = {
            "name": self.name,
            "description": f"A control of the lab: {self.name}.",
            "cluster": {**BROKERS},
            "workload": {
                "kind": self.workload,
                "partitions": 6,
                "workers": 3,
                **_LOADS[self.workload],
                **({"engine": self.engine} if self.workload != RAW else {}),
                **({"rate": self.rate} if self.rate is not None else {}),
            },
            "steady_state": {"fresh_within": "5s", "for": "1s", "reached_within": "60s"},
            "time_limit": self.situation.limit,
            "drain": "30s",
            "faults": [dict(self.situation.fault)],
            "invariants": invariants,
        }
        return build(Parsed(declared, Source(Path(f"{self.name}.yaml")), ()))


def _wrong(
    mistake: Mistake,
    rule: str,
    situation: Situation = CRASHES,
    workload: str = "sequence",
    *,
    aborts: float = 0.0,
    lost_answers: float = 0.0,
) -> Case:
    control = Control(mistake, aborts=aborts, lost_answers=lost_answers)
    return Case(mistake.value, CLIENT, workload, situation, rule, control)


WRONG: Sequence[Case] = (
    Case(AT_LEAST_ONCE, AT_LEAST_ONCE, "sequence", CRASHES, "fold-twice"),
    Case(FAUST, FAUST, "sequence", CRASHES, "fold-twice", rate=FAUST_RATE),
    _wrong(Mistake.NO_TRANSACTION, "fold-twice", FROZEN),
    _wrong(Mistake.OFFSETS_FIRST, "fold-lost"),
    _wrong(Mistake.OFFSETS_OUTSIDE, "fold-twice"),
    _wrong(Mistake.AUTO_COMMIT, "fold-twice"),
    _wrong(Mistake.STARTS_AT_END, "fold-lost"),
    _wrong(Mistake.FORGETS_AT_REBALANCE, "fold-lost", AWAY),
    _wrong(Mistake.NOT_RESTORED, "fold-state"),
    _wrong(Mistake.KEEPS_REVOKED_STATE, "fold-state", AWAY),
    _wrong(Mistake.RESTORES_UNCOMMITTED, "fold-state"),
    _wrong(Mistake.KEEPS_ABORTED_STATE, "fold-state", AWAY, aborts=ABORTS),
    _wrong(Mistake.CHANGELOG_AFTER_COMMIT, "fold-state"),
    _wrong(Mistake.NO_REWIND, "fold-lost", LEADER, aborts=ABORTS),
    _wrong(Mistake.SWALLOWS_ERRORS, "fold-lost", LEADER, aborts=ABORTS),
    _wrong(Mistake.COMMIT_TAKEN_FOR_ABORT, "fold-twice", LEADER, lost_answers=LOST_ANSWERS),
    _wrong(Mistake.KEEPS_DEAD_PRODUCER, "fold-lost", FROZEN_LONG),
    _wrong(Mistake.NO_FENCING, "fold-twice", FROZEN),
    _wrong(Mistake.READS_UNCOMMITTED, "fold-stranger", workload="bank"),
    _wrong(Mistake.OUT_OF_ORDER, "fold-order"),
    _wrong(Mistake.DROPS_UNDER_LOAD, "fold-lost", AWAY),
    _wrong(Mistake.WRONG_PARTITIONER, "fold-state", workload="bank"),
    _wrong(Mistake.TWO_TRANSACTIONS, "bank-total", workload="bank"),
    _wrong(Mistake.WRONG_BALANCE, "bank-balance", AWAY, workload="bank"),
)
"""Every one of them must be caught."""


def _right(engine: str, workload: str, situation: Situation, control: Control = Control()) -> Case:  # noqa: B008 # frozen
    return Case(f"{engine}-{workload}-{situation.name}", engine, workload, situation, None, control)


def _rights() -> tuple[Case, ...]:
    """What is right, in every experiment in which a mistake is looked for."""
    pairs = dict.fromkeys((case.workload, case.situation) for case in WRONG)
    injected = Control(aborts=ABORTS, lost_answers=LOST_ANSWERS)
    batches = replace(injected, batches=True)
    return (
        *(_right(CLIENT, workload, situation, injected) for workload, situation in pairs),
        *(
            replace(_right(CLIENT, "sequence", it, batches), name=f"batches-sequence-{it.name}")
            for it in IN_BATCHES
        ),
        *(_right(HOLDFAST, workload, situation) for workload, situation in pairs),
    )


RIGHT: Sequence[Case] = _rights()
"""None of them may be blamed."""

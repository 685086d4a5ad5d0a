"""A small application with two processors, two producers, a leader task and a check."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

MODULE = """
from holdfast import Event, leader_task, processor
from holdfast.checks import CheckResult

class Heard(Event):
    who: str
    n: int

class Told(Event):
    who: str
    n: int

class Noise(Event):
    n: int

@processor
def first(event: Heard) -> Told:
    return Told(who=event.who, n=event.n)

@processor
def second(event: Told) -> Noise:
    return Noise(n=event.n)

@processor
def ends(event: Told) -> None:
    return None

def talk(seed: int = 1, count: int = 3, people: int = 2):
    for n in range(count):
        yield Heard(who=f"{seed}-{n % people}", n=n)

def noise(count: int):
    for n in range(count):
        yield Noise(n=n)

def fails():
    raise RuntimeError("out of words")
    yield

@leader_task
def tick():
    return Noise(n=0)

def everything_is_told(log):
    heard = {(it.event.who, it.event.n) for it in log.events("heard")}
    told = [(it.event.who, it.event.n) for it in log.events("told")]
    problems = [f"{each} was told {told.count(each)} times" for each in heard if told.count(each) != 1]
    return CheckResult.of("what is heard is told once", problems, heard=len(heard))
"""

DECLARED: dict[str, Any] = {
    "app": "talk",
    "topics": {
        "heard": {"event": "MODULE:Heard", "key": "who", "partitions": 4},
        "told": {"event": "MODULE:Told", "key": "who", "partitions": 3},
        "noise": {"event": "MODULE:Noise", "partitions": 2},
    },
    "processors": {
        "first": {"handler": "MODULE:first", "reads": ["heard"], "writes": ["told"], "tables": {}},
        "second": {"handler": "MODULE:second", "reads": ["told"], "writes": ["noise"]},
    },
    "producers": {
        "talk": {"source": "MODULE:talk", "writes": ["heard"]},
        "noise": {"source": "MODULE:noise", "writes": ["noise"]},
    },
    "leader_tasks": {"tick": {"task": "MODULE:tick", "every": "1s", "writes": ["noise"]}},
    "checks": ["MODULE:everything_is_told"],
}

_numbers = itertools.count()


def talking(folder: Path, **sections: Any) -> Path:
    """Write it into a folder, with other sections if they are given, and without those that are None."""
    # Modules stay imported: each application has its own.
    module = f"talking_{next(_numbers)}"
    (folder / f"{module}.py").write_text(MODULE)
    declared = {name: it for name, it in {**DECLARED, **sections}.items() if it is not None}
    file = folder / "topology.yaml"
    file.write_text(json.dumps(declared, indent=1).replace("MODULE", module))
    return file

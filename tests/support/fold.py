"""The fold validator: Kafka's own strongest check of a stateful processor (EosTestDriver), made general.

Every output names the input it came from and the state after it. For each key, in the order of
the outputs: no input twice, none missing, inputs of one partition in their order, and each
intermediate state equal to the fold recomputed up to there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.support.application import Application
from tests.support.events import Folded


def problems(inputs: Iterable[tuple[str, int, int, str, int]], outputs: Sequence[Folded]) -> list[str]:
    """What is wrong with outputs.

    Args:
        inputs: topic, partition, offset, key and n of every input.
        outputs: in order within each key.
    """
    wanted = {(topic, partition, offset): (key, n) for topic, partition, offset, key, n in inputs}
    found: list[str] = []
    seen: set[tuple[str, int, int]] = set()
    last: dict[tuple[str, str, int], int] = {}
    state: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for output in outputs:
        origin = (output.topic, output.partition, output.offset)
        if origin in seen:
            found.append(f"applied twice: {origin}")
        seen.add(origin)
        if wanted.get(origin) != (output.key, output.n):
            found.append(f"no such input: {output}")
        if last.get((output.key, *origin[:2]), -1) >= output.offset:
            found.append(f"out of order: {output}")
        last[output.key, output.topic, output.partition] = output.offset
        count, total = state[output.key]
        state[output.key] = now = (count + 1, total + output.n)
        if now != (output.count, output.total):
            found.append(f"state {output.count, output.total} where the fold gives {now}: {origin}")
            state[output.key] = (output.count, output.total)
    found += [f"lost: {origin}" for origin in sorted(wanted.keys() - seen)]
    return found


def assert_exactly_once(application: Application) -> int:
    """Every input was applied exactly once, in order, to the right state; returns how many there were."""
    inputs: list[tuple[str, int, int, str, int]] = []
    for label, kinds in application.inputs.items():
        sign = -1 if kinds[0].__name__ == "Taken" else 1
        inputs += [
            (message.topic(), message.partition(), message.offset(), event.key, sign * event.n)
            for message, event in application.records(label)
        ]
    found = problems(inputs, application.decoded("sums"))
    assert not found, f"{len(found)} problems, such as {found[:8]}\n{application.logs()[-4000:]}"
    return len(inputs)

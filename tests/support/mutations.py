"""What can go wrong with a history, done to a correct one: each mutation belongs to one rule."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from holdfast.chaos.history import Isolation, Kind, Operation, Outcome, Step, read

Mutation = Callable[[list[Operation], random.Random], list[Operation]]


def _sends(operations: list[Operation], outcome: Outcome = Outcome.OK) -> list[tuple[int, Step]]:
    """The sends of operations with an outcome, whose offset is known: number of the operation, step."""
    return [
        (number, step)
        for number, each in enumerate(operations)
        if each.outcome is outcome
        for step in each.steps
        if step.kind is Kind.SEND and step.offset is not None
    ]


def _with_steps(operations: list[Operation], number: int, steps: list[Step]) -> list[Operation]:
    out = list(operations)
    out[number] = replace(out[number], steps=tuple(steps))
    return out


def _each_step(operations: list[Operation], change: Callable[[Step], Step | None]) -> list[Operation]:
    """Every step changed, or left out if the change is None."""
    return [
        replace(each, steps=tuple(new for step in each.steps if (new := change(step)) is not None))
        for each in operations
    ]


def _unread(operations: list[Operation], gone: set[Step]) -> list[Operation]:
    """Nobody has read some records."""
    hidden = {(step.log, step.value) for step in gone}
    return _each_step(
        operations,
        lambda step: None if step.kind is Kind.READ and (step.log, step.value) in hidden else step,
    )


def _last_polls(operations: list[Operation]) -> list[int]:
    """The polls of the reader that reads everything in the end, in their order."""
    return [
        number
        for number, each in enumerate(operations)
        if each.process.startswith("plast") and len(each.steps) > 1
    ]


def _last_of_logs(operations: list[Operation]) -> dict[str, int]:
    """The last offset of each log that was read by a reader of committed records."""
    ends: dict[str, int] = {}
    for each in operations:
        for step in each.steps:
            if step.kind is Kind.READ and each.isolation is Isolation.COMMITTED:
                ends[step.log] = max(ends.get(step.log, -1), step.offset or 0)
    return ends


def dropped_from_log(operations: list[Operation], source: random.Random) -> list[Operation]:
    ends = _last_of_logs(operations)
    _, victim = source.choice(
        [(number, step) for number, step in _sends(operations) if (step.offset or 0) < ends[step.log]]
    )
    return _unread(operations, {victim})


def last_writes_lost(operations: list[Operation], source: random.Random) -> list[Operation]:
    log = source.choice(sorted(_last_of_logs(operations)))
    acknowledged = sorted(
        (step for _, step in _sends(operations) if step.log == log), key=lambda step: step.offset or 0
    )
    begin = acknowledged[-2].offset or 0
    gone = {
        step for each in operations for step in each.steps if step.log == log and (step.offset or 0) >= begin
    }
    return _unread(operations, gone)


def repeated_in_log(operations: list[Operation], source: random.Random) -> list[Operation]:
    number = _last_polls(operations)[-1]
    step = source.choice(operations[number].steps)
    again = replace(step, offset=_last_of_logs(operations)[step.log] + 5)
    return _with_steps(operations, number, [*operations[number].steps, again])


def offset_moved(operations: list[Operation], source: random.Random) -> list[Operation]:
    number = source.choice(_last_polls(operations))
    steps = list(operations[number].steps)
    first = next(i for i in range(len(steps) - 1) if steps[i].log == steps[i + 1].log)
    steps[first] = replace(steps[first], offset=steps[first + 1].offset)
    return _with_steps(operations, number, steps)


def aborted_delivered(operations: list[Operation], source: random.Random) -> list[Operation]:
    _, victim = source.choice(_sends(operations, Outcome.FAIL))
    number = source.choice(_last_polls(operations))
    wrong = read(victim.log, victim.value, key=victim.key, offset=victim.offset)
    return _with_steps(operations, number, [*operations[number].steps, wrong])


def own_write_read(operations: list[Operation], source: random.Random) -> list[Operation]:
    number, step = source.choice([one for one in _sends(operations) if operations[one[0]].action == "txn"])
    own = read(step.log, step.value, key=step.key, offset=step.offset)
    return _with_steps(operations, number, [*operations[number].steps, own])


def stranger_read(operations: list[Operation], source: random.Random) -> list[Operation]:
    number = source.choice(_last_polls(operations))
    wrong = read("log-0", 10**9, offset=_last_of_logs(operations)["log-0"] + 9)
    return _with_steps(operations, number, [*operations[number].steps, wrong])


def skipped_in_poll(operations: list[Operation], source: random.Random) -> list[Operation]:
    number, index = source.choice(_inside(operations))
    steps = list(operations[number].steps)
    del steps[index]
    return _with_steps(operations, number, steps)


def went_back_in_poll(operations: list[Operation], source: random.Random) -> list[Operation]:
    number, index = source.choice(_inside(operations))
    steps = list(operations[number].steps)
    steps.insert(index + 1, steps[index - 1])
    return _with_steps(operations, number, steps)


def _inside(operations: list[Operation]) -> list[tuple[int, int]]:
    """Reads of the last reader between others of the same log: number of the operation, index of the step."""
    return [
        (number, index)
        for number in _last_polls(operations)
        for index in range(1, len(operations[number].steps) - 1)
        if len({step.log for step in operations[number].steps[index - 1 : index + 2]}) == 1
    ]


def skipped_between_polls(operations: list[Operation], source: random.Random) -> list[Operation]:
    polls = _last_polls(operations)
    # The step after it has to be of the same log, or the next read of the log would be the first again.
    number = source.choice([n for n in polls[1:] if operations[n].steps[0].log == operations[n].steps[1].log])
    return _with_steps(operations, number, list(operations[number].steps[1:]))


def went_back_between_polls(operations: list[Operation], source: random.Random) -> list[Operation]:
    choices = []
    for before, after in pairwise(_last_polls(operations)):
        log = operations[after].steps[0].log
        seen = [step for step in operations[before].steps if step.log == log]
        choices += [(after, step) for step in seen[-1:]]
    number, again = source.choice(choices)
    return _with_steps(operations, number, [again, *operations[number].steps])


def transaction_torn(operations: list[Operation], source: random.Random) -> list[Operation]:
    number = source.choice(
        [
            number
            for number, each in enumerate(operations)
            if each.action == "txn"
            and each.outcome is Outcome.OK
            and sum(step.kind is Kind.SEND for step in each.steps) > 1
        ]
    )
    victim = next(step for step in operations[number].steps if step.kind is Kind.SEND)
    return _unread(operations, {victim})


def sends_swapped_in_operation(operations: list[Operation], source: random.Random) -> list[Operation]:
    pairs = []
    for number, each in enumerate(operations):
        sends = [step for n, step in _sends(operations) if n == number]
        pairs += [(a, b) for a, b in pairwise(sends) if a.log == b.log and each.outcome == "ok"]
    return _swapped(operations, *source.choice(pairs))


def sends_swapped_in_process(operations: list[Operation], source: random.Random) -> list[Operation]:
    return _swapped(operations, *source.choice(_neighbours(operations, lambda step: step.log)))


def sends_of_a_key_swapped(operations: list[Operation], source: random.Random) -> list[Operation]:
    pairs = _neighbours(operations, lambda step: (step.log, step.key))
    return _swapped(operations, *source.choice([pair for pair in pairs if pair[0].key is not None]))


def _neighbours(operations: list[Operation], of: Callable[[Step], object]) -> list[tuple[Step, Step]]:
    """Sends of different operations, one next to the other in what a process sent to a log or key."""
    last: dict[object, tuple[int, Step]] = {}
    out = []
    for number, step in sorted(_sends(operations), key=lambda one: operations[one[0]].began):
        mine = (operations[number].process, of(step))
        if mine in last and last[mine][0] != number:
            out.append((last[mine][1], step))
        last[mine] = number, step
    return out


def _swapped(operations: list[Operation], a: Step, b: Step) -> list[Operation]:
    """Two records have changed places in their log; each reader finds the other one there."""

    def change(step: Step) -> Step:
        if step.log != a.log or step.value not in (a.value, b.value):
            return step
        other = b if step.value == a.value else a
        if step.kind is Kind.SEND:
            return replace(step, offset=other.offset)
        return replace(step, value=other.value, key=other.key)

    return _each_step(operations, change)


def circle_of_reads(operations: list[Operation], source: random.Random) -> list[Operation]:
    sends = [one for one in _sends(operations) if operations[one[0]].action == "txn"]
    one, other = source.sample(sends, 2)
    while one[0] == other[0]:
        other = source.choice(sends)
    return _reading(_reading(operations, one[0], other[1]), other[0], one[1])


def read_from_the_future(operations: list[Operation], source: random.Random) -> list[Operation]:
    """An operation has read what was sent after it had ended."""
    number, step = source.choice(_sends(operations)[5:])
    earlier = [
        index
        for index, each in enumerate(operations)
        if each.outcome is Outcome.OK
        and each.action == "poll"
        and each.isolation is Isolation.COMMITTED
        and (each.ended or 0) < operations[number].began
        and each.process != operations[number].process
    ]
    return _reading(operations, source.choice(earlier), step)


def _reading(operations: list[Operation], number: int, step: Step) -> list[Operation]:
    more = read(step.log, step.value, key=step.key, offset=step.offset)
    return _with_steps(operations, number, [*operations[number].steps, more])


MUTATIONS: dict[str, tuple[str, Mutation]] = {
    "a committed record is not in the log": ("lost-write", dropped_from_log),
    "the last writes of a log are gone": ("unseen", last_writes_lost),
    "a record is in the log twice": ("duplicate", repeated_in_log),
    "a record is at the offset of another": ("inconsistent-offsets", offset_moved),
    "an aborted record is delivered": ("G1a", aborted_delivered),
    "a transaction reads its own record": ("precommitted-read", own_write_read),
    "a record comes from nowhere": ("stray-read", stranger_read),
    "a poll leaves a record out": ("int-poll-skip", skipped_in_poll),
    "a poll goes back": ("int-nonmonotonic-poll", went_back_in_poll),
    "a record is left out between polls": ("poll-skip", skipped_between_polls),
    "a poll begins with what the one before it had": ("nonmonotonic-poll", went_back_between_polls),
    "a half of a transaction is there": ("torn-transaction", transaction_torn),
    "an operation's sends change places": ("int-nonmonotonic-send", sends_swapped_in_operation),
    "a process's sends change places": ("nonmonotonic-send", sends_swapped_in_process),
    "sends of a key change places": ("reordered", sends_of_a_key_swapped),
    "two transactions read from each other": ("G1c", circle_of_reads),
    "a poll reads from the future": ("G1c-process or -realtime", read_from_the_future),
}
"""What each is in words: the rule that has to catch it, and the mutation."""

"""The application of the workload `sequence`: counts and sums what comes under each key, in order."""

from __future__ import annotations

from pydantic import BaseModel

from holdfast import Context, Event, State, processor


class Step(Event):
    """An input: number `n` of its key, from 1 on."""

    key: str
    n: int


class Walked(BaseModel, frozen=True):
    """State of a key.

    Attributes:
        last: number of its last step.
        count: how many steps there were.
        total: the sum of their numbers.
    """

    last: int = 0
    count: int = 0
    total: int = 0


class Stepped(Event):
    """An output: the state of a key after one input, and which input that was."""

    key: str
    topic: str
    partition: int
    offset: int
    last: int
    count: int
    total: int


@processor
def handle(event: Step, walked: State[Walked], at: Context) -> Stepped:
    """Take one step."""
    before = walked.get() or Walked()
    now = Walked(last=event.n, count=before.count + 1, total=before.total + event.n)
    walked.set(now)
    return Stepped(
        key=event.key, topic=at.topic, partition=at.partition, offset=at.offset, **now.model_dump()
    )


def fold(before: dict[str, int], n: int) -> dict[str, int]:
    """What one input makes of a state, said once more and in other words: the checker's side."""
    return {"last": n, "count": before["count"] + 1, "total": before["total"] + n}


INITIAL = {"last": 0, "count": 0, "total": 0}

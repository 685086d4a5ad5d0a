"""What making another version of a processor live will do. Pure.

For each partition of an input there is an offset below which the outputs of all records are on the declared
topics: the **front**. It is where the live version stands, or the end of its mute where that is further.
Another version that becomes live goes on at its own position and is muted up to the front. So the outputs of
each record are written by exactly one version. Of several inputs none goes beyond its front before the others
have come to theirs (`holdfast.engine.mutes`). A version beyond the front would leave the outputs in between
unwritten, and is refused. The front never goes back, whoever is live, so the way back is always open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.errors import ReplayRefused
from holdfast.kafka.positions import Committed, Note, Role
from holdfast.record import TopicPartition


@dataclass(frozen=True, slots=True)
class SwitchStep:
    """One partition of an input.

    Attributes:
        place: which.
        live: where the version stands that is live now.
        target: where the version stands that becomes live.
        front: the offset from which on its outputs go to the declared topics.
    """

    place: TopicPartition
    live: int
    target: int
    front: int


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two versions.

    Attributes:
        name: what it is called.
        committed: its positions in all partitions of the inputs.
    """

    name: str
    committed: Mapping[TopicPartition, Committed]


def plan_switch(live: Side, target: Side) -> tuple[SwitchStep, ...]:
    """What a switch will do.

    Args:
        live: the version that is live.
        target: the one that takes its place.

    Raises:
        ReplayRefused: one has no positions, or the target is ahead.
    """
    for side in (live, target):
        _require_positions(side)
    steps = tuple(_step(place, live, target) for place in sorted(live.committed))
    ahead = [f"{it.place} at {it.target}, beyond {it.front}" for it in steps if it.target > it.front]
    if ahead:
        raise ReplayRefused(
            f"{target.name} is ahead of {live.name} ({'; '.join(ahead)}): the outputs of the records in "
            f"between would be missing. Start {live.name} and leave {target.name} stopped until {live.name} "
            f"has passed it; when both are to be stopped, stop {target.name} first. Nothing was changed."
        )
    return steps


def with_redriven(
    live: Side, target: Side, redriven: tuple[Mapping[TopicPartition, Committed], ...]
) -> tuple[Side, Side]:
    """Both versions with their positions in what was redriven.

    A version that does not take such records, or has not worked since it does, has no position there. It has
    handled what the other one has: a new position is at the end of what is there.

    Args:
        live: the version that is live, by its inputs.
        target: the one that takes its place, likewise.
        redriven: the positions of the two.
    """
    now, then = redriven
    places = [it for it in now if now[it].offset is not None or then[it].offset is not None]
    return (
        Side(live.name, {**live.committed, **{it: _known(now[it], then[it]) for it in places}}),
        Side(target.name, {**target.committed, **{it: _known(then[it], now[it]) for it in places}}),
    )


def _known(own: Committed, other: Committed) -> Committed:
    # What the group is, its inputs tell.
    return (own if own.offset is not None else Committed(other.offset))._replace(role=Role.LIVE)


def _step(place: TopicPartition, live: Side, target: Side) -> SwitchStep:
    now, then = live.committed[place], target.committed[place]
    assert now.offset is not None
    assert then.offset is not None
    return SwitchStep(place, now.offset, then.offset, max(now.offset, now.muted or 0))


def _require_positions(side: Side) -> None:
    unknown = [
        str(place)
        for place, it in sorted(side.committed.items())
        if it.offset is None or it.role is Role.UNKNOWN
    ]
    if unknown:
        raise ReplayRefused(
            f"{side.name} has no position of its own in {', '.join(unknown)}: it does not read that input, "
            "has not worked there yet, another tool has set its position, or the topic was made anew. Both "
            "versions have to read the same inputs; let it run (`holdfast run`) until it has a position in "
            "every partition. Nothing was changed."
        )


def switch_notes(
    steps: tuple[SwitchStep, ...], live: Side, target: Side, ids: Mapping[str, str]
) -> tuple[dict[TopicPartition, Note], dict[TopicPartition, Note]]:
    """What is noted beside the positions of the version that retires, and of the one that becomes live.

    Args:
        steps: what the switch will do.
        live: the version that is live.
        target: the one that takes its place.
        ids: the inputs' ids.
    """
    retired, begins = {}, {}
    for step in steps:
        id_ = ids.get(step.place.topic)
        before, after = live.committed[step.place], target.committed[step.place]
        retired[step.place] = Note(id_, before.fence, before.muted, Role.RETIRED)
        # A system outside has seen the tokens of the one that was live.
        fence = max(before.fence, after.fence)
        begins[step.place] = Note(id_, fence, step.front, Role.LIVE)
    return retired, begins

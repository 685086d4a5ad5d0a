"""What a replay will do: where each input starts again, and what becomes of the tables. Pure.

A replay goes back: records below the position where the group stands are handled again. Positions are those
of a processor's inputs; a shard is replayed with all of its inputs, since its state comes from all of them.
A replay into a new version begins where one in place would, with all shards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from holdfast.errors import ReplayRefused
from holdfast.record import TopicPartition

BEGINNING: Final = "beginning"
_KEEP: Final = (
    " With --keep-state they stay as they are now, and the replayed records change them a second time "
    "(a sum counts them twice)."
)
_OFFSET: Final = re.compile(r"(?:(?P<topic>[A-Za-z0-9._-]+):)?(?P<partition>\d+):(?P<offset>\d+)")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a replay starts, as it was asked for: at the beginning unless one of the others is given.

    Attributes:
        time: at the first record that is not older, in milliseconds since the epoch.
        offsets: at these offsets, and only in these partitions; a topic of None is the only input.
    """

    time: int | None = None
    offsets: Mapping[tuple[str | None, int], int] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the brokers tell of one partition of an input.

    Attributes:
        begin: the first offset that is kept.
        end: the offset after the last committed record.
        committed: where the group stands; None if it never was there.
        muted: up to where an earlier replay mutes outputs; None if none does.
        at_time: the offset of the first record at or after the time asked for; None if there is none.
    """

    begin: int
    end: int
    committed: int | None
    muted: int | None = None
    at_time: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One partition of an input.

    Attributes:
        place: which.
        start: the first offset that is handled again.
        until: where the group stands: from here on it is as if nothing had been.
        muted: up to where outputs are not written again; at least `until`.
    """

    place: TopicPartition
    start: int
    until: int
    muted: int


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay will do.

    Attributes:
        steps: the partitions of inputs, those of a shard together.
        shards: the shards that are replayed.
        notes: what the user should know before.
    """

    steps: tuple[Step, ...]
    shards: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def offsets(self) -> int:
        """How many offsets will be passed again."""
        return sum(step.until - step.start for step in self.steps)


def parse_start(text: str) -> Start:
    """Read `beginning`, a time, or `[TOPIC:]PARTITION:OFFSET,...`.

    Raises:
        ReplayRefused: it is none of them.
    """
    if text == BEGINNING:
        return Start()
    offsets: dict[tuple[str | None, int], int] = {}
    # A time looks like a topic with an offset: 2026-11-21T10:00:00.
    if "-" in text and (time := _time(text)) is not None:
        return Start(time=time)
    for part in text.split(","):
        found = _OFFSET.fullmatch(part.strip())
        if found is None:
            raise ReplayRefused(
                f'cannot start at "{text}". Say `{BEGINNING}`, a time (2026-11-21T10:00:00+01:00; UTC if '
                "no zone is given), or offsets by partition (0:100,1:250; orders:0:100 with several inputs)."
            )
        place = found["topic"], int(found["partition"])
        if place in offsets:
            raise ReplayRefused(f'"{text}" gives two offsets for partition {place[1]}')
        offsets[place] = int(found["offset"])
    return Start(offsets=offsets)


def _time(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def named_offsets(start: Start, known: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The offsets asked for, by partition; none unless the start is given by offsets.

    Raises:
        ReplayRefused: a partition is not one of the inputs', or its topic must be said.
    """
    places = set(known)
    topics = sorted({place.topic for place in places})
    found = {}
    for (topic, number), offset in (start.offsets or {}).items():
        if topic is None and len(topics) > 1:
            raise ReplayRefused(
                f"partition {number} of which input? Say for example {topics[0]}:{number}:{offset} "
                f"(inputs: {', '.join(topics)})"
            )
        place = TopicPartition(topic or topics[0], number)
        if place not in places:
            count = sum(it.topic == topics[0] for it in places)
            raise ReplayRefused(
                f"there is no input {place}: the inputs are {', '.join(topics)}, "
                f"with partitions 0 to {count - 1}"
            )
        found[place] = offset
    return found


def plan_replay(
    start: Start,
    known: Mapping[TopicPartition, Known],
    *,
    has_tables: bool,
    keep_state: bool = False,
    incomplete: bool = False,
    has_lost_positions: bool = False,
) -> ReplayPlan:
    """What a replay will do.

    Args:
        start: where to start.
        known: all partitions of the processor's inputs.
        has_tables: whether the processor keeps state.
        keep_state: whether its tables stay as they are.
        incomplete: whether to make state anew from inputs that no longer keep their first records.
        has_lost_positions: whether the tables hold state, and the group has no positions at all.

    Raises:
        ReplayRefused: it cannot be done, or not without saying that its consequences are meant.
    """
    asked = named_offsets(start, known)
    notes: list[str] = []
    if has_lost_positions:
        known = {place: replace(it, committed=it.end) for place, it in known.items()}
        notes.append(
            "the group has no positions, so nobody knows what was handled: all that the inputs hold now "
            "counts as that. With --emit outputs are written for all that is passed again"
        )
    steps = {
        place: _step(place, it, start, asked, notes)
        for place, it in known.items()
        if it.committed is not None
    }
    passed = {place.partition for place, it in steps.items() if it.start < it.until}
    # A shard that has nothing to pass needs a position, too.
    shards = sorted({place.partition for place in steps} if has_lost_positions else passed)
    if not shards:
        if all(it.committed is None for it in known.values()):
            raise ReplayRefused(
                "there is nothing to replay: the group has no positions, so it has handled nothing yet. A "
                "new version is prepared beside the live one with --into VERSION"
            )
        is_late = start.time is not None and all(it.at_time is None for it in known.values())
        why = "every record is older than the time that was given"
        if not is_late:
            why = "the group stands at or before the start in every partition"
        raise ReplayRefused(f"there is nothing to replay: {why}")
    chosen = tuple(it for place, it in sorted(steps.items()) if place.partition in shards)
    for step in chosen:
        _require_within(step.place, step.start, known[step.place])
    if has_tables and not keep_state:
        _require_beginning(chosen, known, incomplete=incomplete)
    return ReplayPlan(chosen, tuple(shards), tuple(notes))


def plan_into(
    start: Start, known: Mapping[TopicPartition, Known], *, has_tables: bool, incomplete: bool = False
) -> ReplayPlan:
    """Where a new version begins, beside the one that is live.

    Args:
        start: where to start; partitions for which no offset is given start where the live version stands.
        known: all partitions of the processor's inputs, with where the live version stands.
        has_tables: whether the processor keeps state.
        incomplete: whether to make state from inputs that no longer keep their first records.

    Raises:
        ReplayRefused: it cannot be done, or not without saying that its consequences are meant.
    """
    unknown = sorted(place for place, it in known.items() if it.committed is None)
    if unknown:
        raise ReplayRefused(
            f"the live version has no position in {', '.join(map(str, unknown))}. Two versions have to read "
            "the same inputs. If it does read that one, let it run (`holdfast run`) until it has a position "
            "in every partition."
        )
    asked = named_offsets(start, known)
    notes: list[str] = []
    steps = tuple(_step(place, it, start, asked, notes) for place, it in sorted(known.items()))
    for step in steps:
        _require_within(step.place, step.start, known[step.place])
    if has_tables:
        _require_beginning(steps, known, incomplete=incomplete, keepable=False)
    return ReplayPlan(steps, tuple(sorted({it.place.partition for it in steps})), tuple(notes))


def _require_within(place: TopicPartition, at: int, known: Known) -> None:
    if at > known.end:
        raise ReplayRefused(f"{place} ends at offset {known.end}; it cannot start at {at}")


def _step(
    place: TopicPartition,
    known: Known,
    start: Start,
    asked: Mapping[TopicPartition, int],
    notes: list[str],
) -> Step:
    stands = known.committed or 0
    if start.offsets is not None:
        at = asked.get(place, stands)
    elif start.time is not None:
        at = stands if known.at_time is None else min(known.at_time, stands)
    else:
        at = known.begin
    if place in asked:
        _require_within(place, at, known)
    if at > stands:
        raise ReplayRefused(
            f"the group stands at offset {stands} of {place}; starting at {at} would skip records that were "
            "never handled. A replay goes back."
        )
    if at < known.begin:
        if place in asked:
            notes.append(f"{place} keeps offset {known.begin} and later: it starts there, not at {at}")
        at = known.begin
    elif known.begin and at == known.begin and start.offsets is None and start.time is None:
        notes.append(f"{place} keeps offset {known.begin} and later: that is its beginning now")
    until, muted = max(stands, at), max(stands, at, known.muted or 0)
    if muted > known.end:
        notes.append(
            f"{place} ends at offset {known.end}, before {muted}, where it was read to: records are lost"
        )
        # Records that come there now are others, whose outputs nobody has written.
        muted = known.end
    return Step(place, at, until, muted)


def _require_beginning(
    steps: Iterable[Step],
    known: Mapping[TopicPartition, Known],
    *,
    incomplete: bool,
    keepable: bool = True,
) -> None:
    """Refuse to empty tables whose records will not all come again.

    Args:
        steps: what is to be done.
        known: what the brokers know.
        incomplete: whether inputs that lost their first records are good enough.
        keepable: whether there are tables that could be kept as they are.
    """
    later = [f"{it.place} at {it.start}" for it in steps if it.start > known[it.place].begin]
    if later:
        raise ReplayRefused(
            f"the replay would not start at the beginning ({', '.join(later)}), and the state of that moment "
            "is not kept anywhere. Start at the beginning of all inputs, and the tables are made anew."
            + (_KEEP if keepable else "")
        )
    gone = [f"{it.place} before {it.start}" for it in steps if it.start]
    if gone and not incomplete:
        raise ReplayRefused(
            f"the inputs no longer keep their first records ({', '.join(gone)}): tables made anew would lack "
            "what came from them, for good. Say --incomplete if that is meant"
            + (", or --keep-state to leave the tables as they are." if keepable else ".")
        )

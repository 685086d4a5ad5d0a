"""Positions as they are committed: each with a note of what the next owner has to know.

The topic's id: a topic that is deleted and created again keeps its name, and a member that has not noticed
may commit a position of the old topic for the new one. The note tells the next member that it means nothing
there.

The fencing token: the number of an ownership. It is noted with every position that the owner commits, so the
next owner, who reads the position anyway, knows which number it has to exceed.

A replay under way: up to which offset outputs are not written again. It goes from commit to commit, so that
it survives whoever commits, and ends with the first position beyond it.

The owner: the slot of whoever committed it in a transaction, so that its successors can end what it left
open. Only the slot: where a position is copied to another group, that of the same name there is meant.

The tables' changelogs, by their ids: the state that goes with the position. One that was deleted and created
again holds nothing of what was handled before it, and to go on with that would be to start from zero.

The role of the group among the versions of its processor: a shadow's outputs go to topics of its own, and a
retired version must not work any more. It is as durable as the position, and changes only with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from confluent_kafka import TopicPartition as ClientPartition

from holdfast.record import TopicPartition

_MARK: Final = "holdfast: "
_TOPIC_ID: Final = "topic id "
_FENCE: Final = "fence "
_MUTED: Final = "muted up to "
_OWNER: Final = "by "
_STATE: Final = "state "
_PARTS: Final = "; "


class Role(Enum):
    """What a group is among the versions of its processor."""

    LIVE = "live"
    """Its outputs go to the declared topics."""

    SHADOW = "shadow"
    """Its outputs go to topics of its own."""

    RETIRED = "retired"
    """Another version is live in its place: it must not work."""

    UNKNOWN = "unknown"
    """There is no position, or not one that a worker committed."""


_ROLES: Final = frozenset(role.value for role in Role)

TopicId = Callable[[str], str | None]
"""A topic's name to the id that it had when work on it began; None when that is not known."""


NO_STATE: Final[Mapping[str, str]] = MappingProxyType({})


class Note(NamedTuple):
    """What is noted beside a position.

    Attributes:
        topic_id: the topic's id; None when it is not known.
        fence: the fencing token of the ownership; 0 when there is none.
        muted: the offset up to which outputs are not written again; None when all are written.
        role: the group's role.
        owner: the slot of whoever commits; None without transactions.
        state: the ids of the tables' changelogs, as far as they are known.
    """

    topic_id: str | None = None
    fence: int = 0
    muted: int | None = None
    role: Role = Role.LIVE
    owner: str | None = None
    state: Mapping[str, str] = NO_STATE


NoteOf = Callable[[TopicPartition], Note]
"""What is noted beside a partition's position. Any thread may ask."""


class Committed(NamedTuple):
    """A committed position.

    Attributes:
        offset: the next offset to handle; None when none is committed that means anything.
        fence: the fencing token of the ownership that committed last; 0 when none did.
        muted: the offset up to which outputs are not written again; None when all are written.
        role: the group's role; it is told by positions that mean nothing any more, too.
        owner: the slot of whoever committed last; None when it is not known. Told likewise.
        state: the ids that the tables' changelogs had; of a position that means something.
        was_noted: whether there is a note, or a position. If not, nobody has committed, or it is forgotten.
    """

    offset: int | None
    fence: int = 0
    muted: int | None = None
    role: Role = Role.LIVE
    owner: str | None = None
    state: Mapping[str, str] = NO_STATE
    was_noted: bool = True


def no_note(place: TopicPartition) -> Note:  # noqa: ARG001
    """For those who own no shards."""
    return Note()


def noted(positions: Mapping[TopicPartition, int], note_of: NoteOf) -> list[ClientPartition]:
    """Positions for the client, with their notes as metadata."""
    return [
        ClientPartition(place.topic, place.partition, offset, _text(note_of(place), offset))
        for place, offset in positions.items()
    ]


def note_beside(position: ClientPartition) -> str | None:
    """What is noted beside a position that the client read; None if it is another program's and unreadable.

    The client takes notes for C strings. It writes the final zero of its own, but those of a Java client have
    none, and it reads on into the memory behind them (https://github.com/confluentinc/librdkafka/issues/4649).
    """
    try:
        note: str | None = position.metadata
    except UnicodeDecodeError:
        return None
    return note


def read(offset: int, metadata: str | None, id_: str | None) -> Committed:
    """A position as the brokers keep it.

    Args:
        offset: below 0 when there is none.
        metadata: its note. Another tool's is as good as none.
        id_: the topic's id, as far as it is known.
    """
    note = _note(metadata or "")
    if note is None:
        return Committed(offset if offset >= 0 else None, role=Role.UNKNOWN, was_noted=offset >= 0)
    if offset < 0 or (id_ is not None and note.topic_id is not None and note.topic_id != id_):
        return Committed(None, note.fence, role=note.role, owner=note.owner)
    return Committed(offset, note.fence, note.muted, note.role, note.owner, note.state)


def _note(metadata: str) -> Note | None:
    """A note as it was written; None where that cannot be told.

    Parts that are not known are of a later version, and say nothing here; but one of them may be its role.
    """
    if not metadata.startswith(_MARK):
        return None
    # The first notes told no role: nothing had versions.
    note, has_role, is_clear = Note(), False, True
    try:
        for part in metadata.removeprefix(_MARK).split(_PARTS):
            if part.startswith(_TOPIC_ID):
                note = note._replace(topic_id=part.removeprefix(_TOPIC_ID))
            elif part.startswith(_FENCE):
                note = note._replace(fence=int(part.removeprefix(_FENCE)))
            elif part.startswith(_MUTED):
                note = note._replace(muted=int(part.removeprefix(_MUTED)))
            elif part.startswith(_OWNER):
                note = note._replace(owner=part.removeprefix(_OWNER))
            elif part.startswith(_STATE):
                pairs = (pair.partition("=") for pair in part.removeprefix(_STATE).split(","))
                note = note._replace(state={table: id_ for table, _, id_ in pairs if id_})
            elif part in _ROLES:
                note, has_role = note._replace(role=Role(part)), True
            else:
                is_clear = False
    except ValueError:
        # Not written by a worker.
        return None
    return note if has_role or is_clear else None


def _text(note: Note, offset: int) -> str:
    parts = [f"{_TOPIC_ID}{note.topic_id}"] if note.topic_id else []
    parts += [f"{_FENCE}{note.fence}"] if note.fence else []
    parts += [f"{_MUTED}{note.muted}"] if note.muted is not None and offset < note.muted else []
    parts += [f"{_OWNER}{note.owner}"] if note.owner else []
    parts += [_STATE + ",".join(f"{table}={id_}" for table, id_ in note.state.items())] if note.state else []
    return _MARK + _PARTS.join([*parts, note.role.value])

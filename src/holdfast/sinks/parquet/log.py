"""What of a partition has been written: a log in files, each of which only one writer can create.

    _holdfast/<group>/<topic>/<partition>/
        00000000000000000041.json            the one before the newest
        00000000000000000042.json            the newest: it says all
        43-6f0c....part                      rows of a commit that is under way, or that came to nothing

A commit writes its rows into parts, then its entry into a file of its own, and links that to the number
after the newest. A link is created by one writer only, whole, or not at all. Who is second looks again: it
leaves out what the first has written, or finds a newer owner's token. Only then are the parts renamed to the
names under which readers see them. A writer that died before that has it done by whoever looks next.

An entry is removed when two others have come after it. A writer that was away for longer could create its
number again; so when it has, it looks whether its entry is the newest before the parts get their names.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from holdfast.errors import SinkError
from holdfast.record import TopicPartition
from holdfast.sinks.parquet.durable import make_folder, sync_folder, write_new

LOG_FOLDER: Final = "_holdfast"
"""Readers of Parquet pass over what begins with an underscore."""

_ENTRY: Final = ".json"
_PART: Final = ".part"
_TRIES: Final = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A commit.

    Attributes:
        number: of the entry; 0 of what is there before the first.
        position: all records below this offset are written, or refused.
        token: the fencing token of the shard's owner.
        topic_id: the topic's.
        refused: why records are refused, by offset, until Kafka knows it.
        files: the files that it added: the part, and the name that readers see, below the sink's folder.
    """

    number: int = 0
    position: int = 0
    token: int = 0
    topic_id: str | None = None
    refused: Mapping[int, str] = field(default_factory=dict)
    files: Sequence[tuple[str, str]] = ()


_READER: Final = TypeAdapter(Entry)


class PartitionLog:
    """The log of one partition, as one group reads it.

    Args:
        root: the sink's folder.
        group: the group.
        place: the partition.
    """

    def __init__(self, root: Path, group: str, place: TopicPartition) -> None:
        names = [quote(name, safe="") for name in (group, place.topic)]
        self._root = root
        self._folder = root.joinpath(LOG_FOLDER, *names, str(place.partition))
        self._newest: Entry | None = None

    def newest(self) -> Entry:
        """The newest entry. Its files are there when this returns.

        Raises:
            SinkError: it cannot be read for what is in it.
            OSError: the file system fails.
        """
        known = self._newest
        if known is None or self._path(known.number + 1).exists():
            self._newest = None
            known = self._newest = self._look()
        return known

    def _look(self) -> Entry:
        make_folder(self._folder, self._root)
        for _ in range(_TRIES):
            numbers = self._numbers()
            try:
                entry = self._read(max(numbers)) if numbers else Entry()
            except FileNotFoundError:  # two others came after it in that moment
                continue
            self._show(entry)
            self._tidy(entry.number, numbers)
            return entry
        raise SinkError(
            f"{self._folder} changes too fast to be read; do several workers write this partition?"
        )

    def _numbers(self) -> list[int]:
        stems = [path.stem for path in self._folder.glob(f"*{_ENTRY}")]
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def _read(self, number: int) -> Entry:
        path = self._path(number)
        try:
            return _READER.validate_json(path.read_bytes())
        except ValidationError as error:
            raise SinkError(
                f"{path} is no entry of a log that this version can read: {error.errors()[0]['msg']}. Was it "
                "changed by hand, or written by a newer version?"
            ) from error

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:020}{_ENTRY}"

    def append(self, entry: Entry, files: Sequence[tuple[str, memoryview]]) -> bool:
        """Commit: the entry and its files are durable, and seen by readers.

        Args:
            entry: how far the records are written with it.
            files: the names that readers will see, and what is in them.

        Returns:
            Whether it is committed. Not so if somebody else has since the newest entry was looked at.

        Raises:
            OSError: the file system fails. It may be committed all the same.
        """
        self._newest = None
        made: list[Path] = []
        try:
            parts = [(self._write(made, entry.number, _PART, content), name) for name, content in files]
            entry = replace(entry, files=parts)
            draft = self._folder / self._write(made, entry.number, ".draft", to_json(asdict(entry)))
        except BaseException:
            # Most likely there is no room: what is half there must not take what there will be.
            for path in made:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        if not self._link(draft, entry.number):
            return False
        sync_folder(self._folder)
        self._show(entry)
        self._path(max(entry.number - 2, 0)).unlink(missing_ok=True)
        self._newest = entry
        return True

    def _write(self, made: list[Path], number: int, ending: str, content: bytes | memoryview) -> str:
        path = self._folder / f"{number}-{uuid.uuid4().hex}{ending}"
        made.append(path)
        write_new(path, content)
        return path.name

    def _link(self, draft: Path, number: int) -> bool:
        path = self._path(number)
        try:
            os.link(draft, path)
        except (FileExistsError, FileNotFoundError):
            # The number is taken: the second means that even the draft for it was tidied away.
            return False
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
        if max(self._numbers(), default=0) > number:
            # Created once more, after it was there and gone: nobody looks at it, as it is not the newest.
            path.unlink(missing_ok=True)
            return False
        return True

    def _show(self, entry: Entry) -> None:
        """Give the files of an entry their names. Another process may be doing the same."""
        folders = set()
        for part, name in entry.files:
            target = self._root / name
            make_folder(target.parent, self._root)
            # It has its name already, under which somebody may have taken it away since.
            with contextlib.suppress(FileNotFoundError):
                (self._folder / part).rename(target)
            folders.add(target.parent)
        for folder in folders:
            sync_folder(folder)

    def _tidy(self, newest: int, numbers: Sequence[int]) -> None:
        """Remove what nobody can need any more, and what commits left that came to nothing."""
        for number in numbers:
            if number < newest - 1:
                self._path(number).unlink(missing_ok=True)
        for path in self._folder.glob("*-*"):
            of = path.name.partition("-")[0]
            # A commit of a number that is taken cannot come about. One of the next number still may.
            if of.isdigit() and int(of) <= newest:
                path.unlink(missing_ok=True)

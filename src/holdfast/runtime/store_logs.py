"""What has to be looked at before RocksDB may open a folder.

RocksDB's MANIFEST and its write-ahead logs have one format: blocks of 32 KiB with records in them, each
behind a header of checksum, length and type. Types of recycled log files, which a store of ours never
has, send the reader of RocksDB (9.8) into an endless loop when they come after a record of another type: one
flipped bit in the type of a record does it. The loop is in native code and holds the interpreter's lock, so
neither a thread nor a signal can end it. All other damage RocksDB finds itself, by the checksums.
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from holdfast.errors import CorruptStore

_BLOCK: Final = 32 * 1024
_HEADER: Final = Struct("<4xHB")
"""Of a record: a checksum, the length of what follows, the type."""

_LAST_TYPE: Final = 4
"""0 is a part that was never written, 1 a whole record, 2 to 4 the first, middle and last part of one."""


def require_readable_logs(folder: Path) -> None:
    """Refuse a folder that RocksDB might never come back from.

    Cheap beside the opening, which reads the same files and checks them byte by byte.

    Raises:
        CorruptStore: a log holds a record of a type that we never write.
        OSError: a log cannot be read.
    """
    for file in sorted((*folder.glob("MANIFEST-*"), *folder.glob("*.log"))):
        try:
            with file.open("rb") as log:
                at = _unknown_record(log)
        except FileNotFoundError:
            # Looked at beside its worker, which just deleted it. If it is missed, RocksDB will say so.
            continue
        if at is not None:
            raise CorruptStore(f"state folder {folder} cannot be opened: {file.name} is damaged at byte {at}")


def _unknown_record(log: BinaryIO) -> int | None:
    """Where the first record of an unknown type begins, or None."""
    start = 0
    while block := log.read(_BLOCK):
        at, last = 0, len(block) - _HEADER.size
        while at <= last:
            length, kind = _HEADER.unpack_from(block, at)
            if kind > _LAST_TYPE:
                return start + at
            if kind == length == 0:
                break
            at += _HEADER.size + length
        start += len(block)
    return None

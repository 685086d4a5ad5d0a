"""Damage to a broker's files: what a bad disk, or somebody's hand, does to a replica."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from aiokafka.record.util import calc_crc32c

from holdfast.local.cluster import EmbeddedCluster

_HEAD = struct.Struct(">qiibI")
"""Start of a batch: base offset, length of what follows, leader epoch, magic, checksum of what follows."""


def segments(cluster: EmbeddedCluster, broker: int, topic: str, partition: int = 0) -> list[Path]:
    """The files with the records of a broker's replica, oldest first."""
    return sorted((cluster.node(broker).files.data / f"{topic}-{partition}").glob("*.log"))


def batches(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each batch of a file begins and ends, and its base offset."""
    at = 0
    while at + _HEAD.size <= len(data):
        offset, length, *_ = _HEAD.unpack_from(data, at)
        yield at, at + 12 + length, offset
        at += 12 + length


def rewrite(file: Path, old: bytes, new: bytes) -> None:
    """Change bytes inside a batch that is not compressed, and give the batch the checksum that fits."""
    assert len(old) == len(new)
    data = bytearray(file.read_bytes())
    assert data.count(old) == 1, f"{old!r} is {data.count(old)} times in {file}"
    where = data.index(old)
    data[where : where + len(old)] = new
    begin, end, _ = next(each for each in batches(data) if each[0] <= where < each[1])
    struct.pack_into(">I", data, begin + 17, calc_crc32c(bytes(data[begin + 21 : end])))
    file.write_bytes(data)


def flip(file: Path, inside: bytes) -> int:
    """Flip one bit of some bytes and leave the checksum as it is; returns the base offset of the batch."""
    data = bytearray(file.read_bytes())
    where = data.index(inside)
    data[where] ^= 1
    file.write_bytes(data)
    return next(offset for begin, end, offset in batches(data) if begin <= where < end)

"""A record in 16 bytes: everything of it that a reader can see."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from holdfast.record import Message

SIZE = 16
"""Bytes of a digest: two different records have the same one never in practice."""

_HEAD = Struct(">qbqqqq").pack
_LENGTH = Struct(">q").pack


def record_digest(record: Message) -> bytes:
    """Digest of offset, timestamp and its kind, key, value, and headers in order.

    Lengths are part of it, and null is not empty: records that differ in anything have different bytes.
    """
    key, value = record.key(), record.value()
    headers, broken = _headers(record)
    kind, time = record.timestamp()
    lengths = (-1 if key is None else len(key), -1 if value is None else len(value), len(headers))
    digest = blake2b(_HEAD(record.offset(), kind, time, *lengths), digest_size=SIZE)
    digest.update(key or b"")
    digest.update(value or b"")
    for name, content in headers:
        encoded = name.encode()
        digest.update(_LENGTH(len(encoded)) + encoded)
        digest.update(_LENGTH(-1 if content is None else len(content)) + (content or b""))
    digest.update(broken)
    return digest.digest()


class Parts(NamedTuple):
    """What `record_digest` covers, taken apart, to say which part differs."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: tuple[int, int]

    @classmethod
    def of(cls, record: Message) -> Parts:
        """Take a record apart."""
        return cls(record.key(), record.value(), tuple(_headers(record)[0]), record.timestamp())

    def differences(self, other: Parts) -> tuple[str, ...]:
        """Names of the parts that differ."""
        pairs = zip(self._fields, self, other, strict=True)
        return tuple(name for name, mine, theirs in pairs if mine != theirs)


def _headers(record: Message) -> tuple[list[tuple[str, bytes | None]], bytes]:
    """The headers; if the client cannot read a header's name as text, what it choked on instead."""
    try:
        return [*(record.headers() or ())], b""
    except UnicodeDecodeError as error:
        return [], bytes(error.object)

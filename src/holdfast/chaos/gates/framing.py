"""Where a message of HTTP/1.1 ends (RFC 9112, sections 6 and 7). Pure: bytes in, places out.

Messages are not changed, only counted: what a gate passes on is what came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

LONGEST_HEAD = 64 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*\bchunked[ \t]*\r\n", re.IGNORECASE)
_END = b"\r\n\r\n"


class Unreadable(Exception):
    """These bytes are no HTTP/1.1."""


class Body(Protocol):
    """A body of which parts come."""

    is_over: bool

    def take(self, data: bytes, at: int) -> int:
        """Take what belongs to it from a place on, and return the place behind that.

        Raises:
            Unreadable: it is no body.
        """


class Sized:
    """A body of so many bytes."""

    def __init__(self, size: int) -> None:
        self._left = size
        self.is_over = not size

    def take(self, data: bytes, at: int) -> int:
        """Take what belongs to it from a place on, and return the place behind that."""
        taken = min(self._left, len(data) - at)
        self._left -= taken
        self.is_over = not self._left
        return at + taken


class Endless:
    """A body that ends with its connection."""

    is_over = False

    def take(self, data: bytes, at: int) -> int:  # noqa: ARG002 - it has no end to look for
        """Take all."""
        return len(data)


class Chunked:
    """A body of chunks, each with its size before it, and trailers behind the last one."""

    def __init__(self) -> None:
        self.is_over = False
        self._left = 0
        self._line = b""
        self._in_trailers = False

    def take(self, data: bytes, at: int) -> int:
        """Take what belongs to it from a place on, and return the place behind that."""
        while at < len(data) and not self.is_over:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at)
            self._line += data[at:] if end < 0 else data[at:end]
            if len(self._line) > LONGEST_HEAD:
                raise Unreadable
            if end < 0:
                return len(data)
            self._take_line()
            at = end + 1
        return at

    def _take_line(self) -> None:
        line, self._line = self._line.strip(), b""
        if self._in_trailers:
            self.is_over = not line
            return
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise Unreadable from None
        # The end of its line belongs to a chunk.
        self._left = size + 2 if size else 0
        self._in_trailers = not size


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a message.

    Attributes:
        content: its bytes, with the empty line.
        first: its first line, in parts.
    """

    content: bytes
    first: tuple[bytes, bytes]

    @property
    def method(self) -> bytes:
        """Of a request."""
        return self.first[0]

    @property
    def status(self) -> int:
        """Of an answer.

        Raises:
            Unreadable: it has none.
        """
        if not self.first[1].isdigit():
            raise Unreadable
        return int(self.first[1])

    def body_of_request(self) -> Body:
        """The body that follows a request."""
        if _CHUNKED.search(self.content):
            return Chunked()
        found = _LENGTH.search(self.content)
        return Sized(int(found[1]) if found else 0)

    def body_of_answer(self, method: bytes) -> Body:
        """The body that follows an answer to a request with this method."""
        if method == b"HEAD" or self.status in (204, 304):
            return Sized(0)
        if _CHUNKED.search(self.content):
            return Chunked()
        found = _LENGTH.search(self.content)
        return Sized(int(found[1])) if found else Endless()


def head_of(data: bytes) -> Head | None:
    """The head that data begins with; None if it has not come as a whole.

    Raises:
        Unreadable: it is no head, or too long.
    """
    end = data.find(_END, 0, LONGEST_HEAD)
    if end < 0:
        if len(data) >= LONGEST_HEAD:
            raise Unreadable
        return None
    parts = data[: data.find(b"\r\n")].split(b" ", 2)
    if len(parts) < 2:
        raise Unreadable
    return Head(data[: end + len(_END)], (parts[0], parts[1]))

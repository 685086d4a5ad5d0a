"""Every part of a record counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from holdfast.kafka.replicas.digest import Parts, record_digest


@dataclass(frozen=True)
class Record:
    """A record in the shape of the client's message."""

    at: int = 7
    k: bytes | None = b"key"
    v: bytes | None = b"value"
    h: tuple[tuple[str, bytes | None], ...] = (("a", b"1"), ("b", b"2"))
    t: tuple[int, int] = (1, 1_700_000_000_000)

    def offset(self) -> int:
        """Its offset."""
        return self.at

    def key(self) -> bytes | None:
        """Its key."""
        return self.k

    def value(self) -> bytes | None:
        """Its value."""
        return self.v

    def headers(self) -> list[tuple[str, bytes]] | None:
        """Its headers, None where there are none."""
        return list(self.h) or None  # type: ignore[arg-type]

    def timestamp(self) -> tuple[int, int]:
        """Its timestamp."""
        return self.t

    def topic(self) -> str:
        """Its topic."""
        return "t"

    def partition(self) -> int:
        """Its partition."""
        return 0


CHANGES = [
    {"at": 8},
    {"k": None},
    {"k": b""},
    {"k": b"keyv", "v": b"alue"},
    {"v": None},
    {"v": b""},
    {"v": b"valuf"},
    {"h": ()},
    {"h": (("b", b"2"), ("a", b"1"))},
    {"h": (("a", b"1b"), ("", b"2"))},
    {"h": (("a", None), ("b", b"2"))},
    {"t": (2, 1_700_000_000_000)},
    {"t": (1, 1_700_000_000_001)},
]


def test_equal_records_have_equal_digests() -> None:
    """A digest depends on nothing but the record."""
    assert record_digest(Record()) == record_digest(Record())


def test_records_that_differ_in_anything_have_different_digests() -> None:
    """Null and empty are two things, the order of headers counts, and no part runs into the next."""
    records = [Record(), *(replace(Record(), **change) for change in CHANGES)]  # type: ignore[arg-type]
    assert len({record_digest(record) for record in records}) == len(records)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"v": b"other"}, ("value",)),
        ({"k": None, "t": (1, 2)}, ("key", "timestamp")),
        ({"h": ()}, ("headers",)),
        ({}, ()),
    ],
)
def test_the_parts_that_differ_are_named(change: dict[str, object], parts: tuple[str, ...]) -> None:
    """For whoever has to find out what happened."""
    mine, theirs = Parts.of(Record()), Parts.of(replace(Record(), **change))  # type: ignore[arg-type]
    assert mine.differences(theirs) == parts


def test_a_header_name_that_is_no_text_counts_with_its_bytes() -> None:
    """The client cannot show such a header; two that differ do not pass for equal."""

    @dataclass(frozen=True)
    class Broken(Record):
        name: bytes = b""

        def headers(self) -> list[tuple[str, bytes]] | None:
            raise UnicodeDecodeError("utf-8", self.name, 0, 1, "invalid start byte")

    assert record_digest(Broken(name=b"\xff1")) != record_digest(Broken(name=b"\xff2"))

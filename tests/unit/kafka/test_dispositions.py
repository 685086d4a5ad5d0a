"""What became of dead letters, among records that somebody else wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast.kafka.dispositions import Disposition, read_dispositions
from holdfast.kafka.scan import LogScanner
from holdfast.testing import MemoryMessage

NOTE = Disposition("discarded", 1_000, "ann@here", "a test device")
SAID = {"what": "redriven", "at": 1, "by": "ann", "why": None, "topic_id": "id-1"}


def scanner(*records: tuple[bytes | None, bytes | None]) -> LogScanner:
    """A cluster with these records, by key and value."""

    def topic(name: str) -> Iterator[MemoryMessage]:
        for n, (key, value) in enumerate(records):
            yield MemoryMessage(name, 0, n, key=key, value=value)

    return cast("LogScanner", SimpleNamespace(topic=topic))


def note(letters_id: str = "id-1") -> tuple[bytes | None, bytes | None]:
    record = NOTE.record("app.dispositions", (3, 17), letters_id)
    return record.key, record.value


def test_what_was_noted_is_read(caplog: pytest.LogCaptureFixture) -> None:
    """Of the topic of letters that is meant; what was deleted says nothing."""
    another = note("id-0")[1]
    found = read_dispositions(scanner(note(), (b"3@18", another), (b"3@19", None)), "noted", "id-1")
    assert found == {(3, 17): NOTE}
    assert caplog.text == ""


STRANGE: dict[str, tuple[bytes | None, Any]] = {
    "no key": (None, SAID),
    "another key": (b"order-7", SAID),
    "a key that is no text": (b"\xff", SAID),
    "a list": (b"3@18", [1]),
    "a number": (b"3@18", 7),
    "another deed": (b"3@18", {**SAID, "what": "eaten"}),
    "a time that is text": (b"3@18", {**SAID, "at": "today"}),
    "nobody": (b"3@18", {**SAID, "by": None}),
    "too little": (b"3@18", {"topic_id": "id-1"}),
    "no JSON": (b"3@18", b"hello"),
    "no text": (b"3@18", b"\xff\x00"),
    "too deep": (b"3@18", b"[" * 100_000),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_nobody_can_read_is_left_out_and_counted(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The others count, and it is said once, however often the topic is read."""
    key, value = STRANGE[name]
    record = key, value if isinstance(value, bytes) else json.dumps(value).encode()
    strange = scanner(record, note(), record)
    for _ in range(2):
        assert read_dispositions(strange, f"noted {name}", "id-1") == {(3, 17): NOTE}
    (line,) = caplog.messages
    assert line.startswith(f"2 of the records in noted {name} were not written by `holdfast dlq`")

"""Records of the redrive topic that somebody else wrote: they are left out, and stop nobody."""

from __future__ import annotations

import pytest

from holdfast.engine.redriven import Hold, Redriven, Sent, read_redriven
from holdfast.record import Position
from holdfast.testing import MemoryMessage

SENT = Sent("sums", Position("adds", 3, 17), "app.dlq[3]@5", 2, None, 9)


def message(headers: list[tuple[str, bytes | None]] | None) -> MemoryMessage:
    return MemoryMessage("app.redrive", 3, 8, key=b"k", value=b"{}", headers=headers)  # type: ignore[arg-type]


def test_what_was_written_is_read() -> None:
    """With the record's own headers, if it has some."""
    record = read_redriven(message(SENT.headers([("trace", b"7")])), "sums")
    assert isinstance(record, Redriven)
    assert (record.sent, record.headers()) == (SENT, [("trace", b"7")])
    assert read_redriven(message(Hold(250).headers("sums")), "sums") == Hold(250)
    assert read_redriven(message(SENT.headers([])), "others") is None


STRANGE: dict[str, list[tuple[str, bytes | None]] | None] = {
    "no headers": None,
    "only the last": [("holdfast.redrive.letter", b"x")],
    "only a hold": [("holdfast.redrive.hold", b"5")],
    "a hold of no number": [*SENT.headers([])[:1], ("holdfast.redrive.hold", b"x"), *SENT.headers([])[-1:]],
    "nothing in it": [("holdfast.redrive.processor", b"sums"), ("holdfast.redrive.letter", None)],
    "no text": [("holdfast.redrive.processor", b"sums"), ("holdfast.redrive.letter", b"\xff")],
    "no last": SENT.headers([])[:-1],
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_nobody_can_read_is_left_out(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A line in the log says which record it is."""
    assert read_redriven(message(STRANGE[name]), "sums") is None
    assert "app.redrive[3]@8 is no redriven record" in caplog.text

"""The gateway's book: one decision for each key, whatever is asked again, and over the gateway's death."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.book import Book, Request, read


def request(order: str = "o-1", amount: str = "12.50") -> Request:
    """A request of Anna's."""
    return Request(order_id=order, customer_id="anna", amount=Decimal(amount))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal may be."""
    return tmp_path / "charges.jsonl"


def outcomes(journal: Path) -> list[str]:
    """What came of each call."""
    return [entry.outcome for entry in read(journal)]


def test_a_key_is_decided_once(journal: Path) -> None:
    """Asked again it is told the same; for another request it is refused."""
    with Book(journal) as book:
        book.decide("k", "charge", request())
        first = book.decision("k")
        book.decide("k", "charge", request())
        book.decide("k", "charge", request(amount="99.00"))
        book.decide("k", "refund", request())
        assert book.decision("k") == first
    assert outcomes(journal) == ["charged", "repeated", "key-reused", "key-reused"]


def test_an_order_under_two_keys_is_charged_twice(journal: Path) -> None:
    """The gateway does not hide who asks wrongly: the audit shows it."""
    with Book(journal) as book:
        book.decide("k1", "charge", request())
        book.decide("k2", "charge", request())
    assert outcomes(journal) == ["charged", "charged"]


def test_nobody_is_charged_beyond_the_limit_and_a_refund_makes_room(journal: Path) -> None:
    """The limit itself may be reached."""
    with Book(journal, limit=Decimal(20)) as book:
        book.decide("1", "charge", request("o-1", "20.00"))
        book.decide("2", "charge", request("o-2", "0.01"))
        book.decide("3", "refund", request("o-1", "20.00"))
        book.decide("4", "charge", request("o-3", "20.00"))
    assert outcomes(journal) == ["charged", "declined", "refunded", "charged"]


def test_what_was_not_charged_is_not_refunded(journal: Path) -> None:
    """Nor is anything refunded twice."""
    with Book(journal) as book:
        book.decide("1", "refund", request())
        book.decide("2", "charge", request())
        book.decide("3", "refund", request())
        book.decide("4", "refund", request())
    assert outcomes(journal) == ["nothing-to-refund", "charged", "refunded", "nothing-to-refund"]


def test_a_book_that_is_opened_again_knows_all_that_it_decided(journal: Path) -> None:
    """Keys, limits and numbers go on, and a line that a kill cut off is forgotten: it had no answer."""
    with Book(journal, limit=Decimal(20)) as book:
        book.decide("1", "charge", request("o-1", "15.00"))
        book.fail("2", "charge", request("o-2"), "error")
    with journal.open("ab") as file:
        file.write(b'{"at": 17')
    with Book(journal, limit=Decimal(20)) as again:
        assert again.decision("1").outcome == "charged"
        again.decide("1", "charge", request("o-1", "15.00"))
        again.decide("2", "charge", request("o-2", "6.00"))
        again.decide("3", "charge", request("o-3", "5.00"))
    assert outcomes(journal) == ["charged", "failed", "repeated", "declined", "charged"]
    assert [entry.number for entry in read(journal)] == [1, 2, 3, 4, 5]

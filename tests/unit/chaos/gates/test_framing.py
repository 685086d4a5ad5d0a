"""Where messages of HTTP/1.1 end, however they come in pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.chaos.gates.framing import LONGEST_HEAD, Body, Chunked, Endless, Sized, Unreadable, head_of
from holdfast.chaos.gates.sentinel import end_of_reply

CHUNKS = b"4;ext=1\r\nab\r\n\r\n1A\r\n" + b"x" * 26 + b"\r\n0\r\nX-Sum: 1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nX: 1\r\n"


def taken(body: Body, *pieces: bytes) -> bytes:
    """What a body takes of some pieces."""
    found = b""
    for piece in pieces:
        found += piece[: body.take(piece, 0)]
    return found


@given(st.lists(st.integers(0, len(CHUNKS)), max_size=6))
def test_a_body_in_chunks_ends_behind_its_trailers(cuts: list[int]) -> None:
    """Wherever the packets end; what follows is not its own."""
    places = [0, *sorted(cuts), len(CHUNKS)]
    body = Chunked()
    pieces = [CHUNKS[a:b] for a, b in pairwise(places)]
    assert taken(body, *pieces) == CHUNKS
    assert body.is_over
    body = Chunked()
    assert taken(body, CHUNKS + b"HTTP/1.1 200") == CHUNKS


@pytest.mark.parametrize("size", [b"zz\r\n", b"\r\n\r\n", b"1" * (LONGEST_HEAD + 1)])
def test_what_has_no_size_is_no_chunk(size: bytes) -> None:
    with pytest.raises(Unreadable):
        Chunked().take(size, 0)


def test_a_body_of_a_size_ends_with_it() -> None:
    body = Sized(5)
    assert taken(body, b"ab", b"cdefg") == b"abcde"
    assert body.is_over
    assert Sized(0).is_over
    endless = Endless()
    assert taken(endless, b"ab") == b"ab"
    assert not endless.is_over


@pytest.mark.parametrize(
    ("fields", "method", "status", "kind"),
    [
        (b"content-length: 7\r\n", b"GET", 200, Sized),
        (b"Transfer-Encoding: gzip, chunked\r\nContent-Length: 7\r\n", b"GET", 200, Chunked),
        (b"X-Content-Length: 7\r\n", b"GET", 200, Endless),
    ],
)
def test_the_head_says_how_an_answer_ends(fields: bytes, method: bytes, status: int, kind: type) -> None:
    head = head_of(b"HTTP/1.1 %d OK\r\n%s\r\nrest" % (status, fields))
    assert head is not None
    assert head.content.endswith(b"\r\n\r\n")
    assert isinstance(head.body_of_answer(method), kind)


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_some_answers_have_no_body_whatever_their_head_says(method: bytes, status: int) -> None:
    head = head_of(b"HTTP/1.1 %d X\r\nContent-Length: 7\r\n\r\n" % status)
    assert head is not None
    assert head.body_of_answer(method).is_over


def test_a_request_without_a_length_has_no_body_and_such_an_answer_ends_with_its_connection() -> None:
    head = head_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head is not None
    assert head.method == b"GET"
    assert head.body_of_request().is_over
    answer = head_of(ANSWER + b"\r\n")
    assert answer is not None
    assert not answer.body_of_answer(b"GET").is_over


def test_a_head_is_there_when_its_empty_line_is() -> None:
    assert all(head_of(ANSWER[:end]) is None for end in range(len(ANSWER)))
    assert head_of(ANSWER + b"\r\n") is not None


@pytest.mark.parametrize("data", [b"\x16\x03\x01\r\n\r\n", b"x" * LONGEST_HEAD])
def test_other_protocols_are_not_taken_for_a_head(data: bytes) -> None:
    with pytest.raises(Unreadable):
        head_of(data)


def test_an_answer_without_a_status_is_none() -> None:
    head = head_of(b"GET / HTTP/1.1\r\n\r\n")
    assert head is not None
    with pytest.raises(Unreadable):
        head.body_of_answer(b"GET")


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"$3\r\n\r\n1\r\n",
        b"*2\r\n*1\r\n:1\r\n$4\r\nname\r\n",
        b"%1\r\n+a\r\n~2\r\n:1\r\n#t\r\n",
    ],
)
def test_a_reply_of_redis_is_whole_at_its_last_byte(reply: bytes) -> None:
    assert end_of_reply(reply + b"+next", 0) == len(reply)
    assert [end_of_reply(reply[:end], 0) for end in range(len(reply))] == [None] * len(reply)

"""What handlers make for sinks: a value of a wrong class is told in the handler's own line."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from holdfast import Event
from holdfast.errors import HandlerError
from holdfast.sinks import postgres, redis
from holdfast.sinks.http import HttpCall

Make = Callable[..., Any]


class Placed(Event):
    order: str


class Name(StrEnum):
    ANN = "ann"


WRONG: dict[str, tuple[Make, tuple[Any, ...], dict[str, Any], str]] = {
    "Set None": (redis.Set, (None, 1), {}, "Set: a key is text, bytes, .* not None"),
    "Set for a timedelta": (
        *(redis.Set, ("k", 1), {"expire": timedelta(seconds=5)}),
        r"`expire` is a number of seconds, not timedelta .*`total_seconds\(\)`",
    ),
    "Set for ever": (redis.Set, ("k", 1), {"expire": float("inf")}, "number of seconds, not float inf"),
    "Set for text": (redis.Set, ("k", 1), {"expire": "5"}, "number of seconds, not str '5'"),
    "Set for true": (redis.Set, ("k", 1), {"expire": True}, "number of seconds, not bool True"),
    "HashSet of a list": (redis.HashSet, ("k", [1]), {}, "HashSet: `fields` is a mapping, not list"),
    "HashSet of None": (redis.HashSet, ("k", None), {}, "HashSet: `fields` is a mapping, not None"),
    "HashSet under a list": (redis.HashSet, (["k"], {"a": 1}), {}, "HashSet: a key is .* not list"),
    "HashSet without a name": (redis.HashSet, ("k", {None: 1}), {}, "HashSet: None names nothing"),
    "Delete without a star": (
        *(redis.Delete, (["a", "b"],), {}),
        r"Delete: a key is .* not list \['a', 'b'\]; of several keys, give each: Delete\(\*keys\)",
    ),
    "Delete of None": (redis.Delete, ("a", None), {}, "Delete: a key is .* not None"),
    "Increment None": (redis.Increment, (None,), {}, "Increment: a key is .* not None"),
    "Increment true": (redis.Increment, (True,), {}, "Increment: a key is .* not bool"),
    "Increment by text": (redis.Increment, ("k", "1"), {}, "Increment: a number is needed, not str"),
    "HashIncrement None": (redis.HashIncrement, ("k", None), {}, "HashIncrement: a key is .* not None"),
    "HashIncrement by true": (redis.HashIncrement, ("k", "f", True), {}, "a number is needed, not bool"),
    "SortedSetAdd of a list": (redis.SortedSetAdd, ("k", ["a"]), {}, "`scores` is a mapping, not list"),
    "SortedSetAdd of nobody": (redis.SortedSetAdd, ("k", {None: 1}), {}, "SortedSetAdd: None names nothing"),
    "Command None": (redis.Command, (None, "k"), {}, "Command: its name is text, not None"),
    "Upsert None": (postgres.Upsert, ("t", None), {}, "Upsert: `row` is an event, or a mapping .* not None"),
    "Upsert pairs": (postgres.Upsert, ("t", [("a", 1)]), {}, "Upsert: `row` is .* not list"),
    "Upsert nowhere": (postgres.Upsert, (None, {"a": 1}), {}, "Upsert: `table` is text, not None"),
    "Upsert by text": (
        *(postgres.Upsert, ("t", {"id": 1}), {"key": "order"}),
        r'Upsert: `key` is a tuple of columns, such as key=\("order",\), not str',
    ),
    "Upsert by numbers": (postgres.Upsert, ("t", {"id": 1}), {"key": (1,)}, "Upsert: `key` is a tuple of"),
    "Upsert by a set": (postgres.Upsert, ("t", {"id": 1}), {"key": {"id"}}, "Upsert: `key` is a tuple of"),
    "Insert text": (postgres.Insert, ("t", "row"), {}, "Insert: `row` is .* not str 'row'"),
    "Delete a list": (postgres.Delete, ("t", [1]), {}, r"Delete: `key` is a mapping .* not list \[1\]"),
    "Delete an event": (postgres.Delete, ("t", Placed(order="o")), {}, "Delete: `key` is .* not Placed"),
    "Execute bytes": (postgres.Execute, (b"VACUUM",), {}, "Execute: `statement` is text, not bytes"),
    "Execute with text": (postgres.Execute, ("SELECT %s", "ann"), {}, "Execute: `parameters` .* not str"),
    "Execute with names": (postgres.Execute, ("SELECT %s", {"a": 1}), {}, "`parameters` .* not dict"),
    "Execute with one": (postgres.Execute, ("SELECT %s", 5), {}, "`parameters` .* not int 5"),
    "call with a number": (
        *(HttpCall, ("GET", "/a"), {"headers": {"X-Count": 5}}),
        r"GET /a: headers are text, and 'X-Count' is int: write str\(\.\.\.\)",
    ),
    "call with a nameless header": (HttpCall, ("GET", "/a"), {"headers": {None: "a"}}, "headers are text"),
    "call with pairs": (HttpCall, ("GET", "/a"), {"headers": [("a", "b")]}, "is a mapping, not list"),
    "call with None": (HttpCall, ("GET", "/a"), {"headers": None}, "is a mapping, not NoneType"),
    "call of text": (
        HttpCall,
        ("PUT", "/a"),
        {"content": "x"},
        r"`content` is bytes, not str; .*`encode\(\)`",
    ),
    "call of two": (HttpCall, ("PUT", "/a", 1), {"content": b"x"}, "either `json` or `content`"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_a_wrong_class_is_told_where_it_is_made(name: str) -> None:
    """With what to write instead: later nobody would know the line."""
    make, arguments, named, text = WRONG[name]
    with pytest.raises(HandlerError, match=text):
        make(*arguments, **named)


def test_a_header_that_is_refused_is_not_shown() -> None:
    """It may be a secret."""
    with pytest.raises(HandlerError) as caught:
        HttpCall("GET", "/a", headers={"Authorization": b"hunter2"})  # type: ignore[dict-item]
    assert "hunter2" not in str(caught.value)


def test_what_is_meant_is_taken() -> None:
    """Also of classes that are not quite the usual ones."""
    some = UUID(int=1)
    for key in ("a", b"a", 7, some, Name.ANN):
        redis.Set(key, None, expire=Decimal("0.5"))
        redis.HashSet(key, Placed(order="o"))
        redis.HashSet(key, OrderedDict(a=1))
        redis.HashSet(key, MappingProxyType({"a": 1}))
        redis.Delete(key, "b")
        redis.Increment(key, 0.5)
        redis.HashIncrement(key, key, Decimal(1))
        redis.SortedSetAdd(key, MappingProxyType({"a": 1}))
    for row in ({"a": 1}, Placed(order="o"), MappingProxyType({"a": 1})):
        postgres.Insert("t", row)
        postgres.Upsert(Name.ANN, row, key=(Name.ANN, "b"))
    postgres.Delete("t", MappingProxyType({"a": 1}))
    postgres.Execute("SELECT %s, %s", [1, 2])
    HttpCall("PUT", "/a", content=b"", headers=MappingProxyType({"X": Name.ANN}))


@pytest.mark.parametrize(
    ("statement", "word"),
    {
        "COMMIT": "COMMIT",
        " ;\n-- now\n/* all\nof it */ rollback to x": "ROLLBACK",
        "End;": "END",
        "ABORT": "ABORT",
        "BEGIN ISOLATION LEVEL SERIALIZABLE": "BEGIN",
        "start\n transaction": "START TRANSACTION",
        "SAVEPOINT a": "SAVEPOINT",
        "RELEASE a": "RELEASE",
        "PREPARE TRANSACTION 'a'": "PREPARE TRANSACTION",
    }.items(),
)
def test_a_statement_that_ends_or_begins_a_transaction_is_refused_where_it_is_made(
    statement: str, word: str
) -> None:
    """The transaction is the sink's, with the positions in it."""
    for _ in range(2):
        with pytest.raises(HandlerError, match=rf"^Execute: {word} is the sink's own to say: "):
            postgres.Execute(statement)


@pytest.mark.parametrize(
    "statement", ["PREPARE a AS SELECT 1", "SELECT 'COMMIT'", "CALL commit_all()", "-- COMMIT\nSELECT 1", ""]
)
def test_other_statements_are_the_handlers(statement: str) -> None:
    """Whatever words are in them."""
    assert postgres.Execute(statement).statement == statement

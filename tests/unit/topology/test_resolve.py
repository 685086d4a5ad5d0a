"""From names in the file to Python objects, and what is said when they are not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.errors import HandlerError, TopologyError, TopologyErrors
from holdfast.schema import Event
from holdfast.topology import ResolvedProcessor, check_file, load, resolve

Write = Callable[[dict[str, str]], Path]

EVENTS = """\
from pydantic import BaseModel
from holdfast import Event

class Order(Event):
    order_id: str

class Refund(Event):
    order_id: str

class Renamed(Event, name="Order"):
    order_id: str

class State(BaseModel, frozen=True):
    total: int

class Loose(BaseModel):
    total: int

def handle(event): ...
def generate(): ...
number = 3
nothing = None
"""

GOOD = """\
app: shop
topics:
  orders: {events: [shop_contracts.orders:Order, shop_contracts.orders:Refund], key: order_id, partitions: 3}
  copies: {event: shop_contracts.orders:Order, partitions: 3}
processors:
  saga:
    handler: shop_contracts.orders:handle
    reads: [orders]
    tables: {state: shop_contracts.orders:State, count: int, money: Decimal}
    writes: [copies]
producers:
  orders: {source: shop_contracts.orders:generate, writes: [copies]}
checks: [shop_contracts.orders:handle]
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Give a function that writes an application and returns its topology file; forget it afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write_files(files: dict[str, str]) -> Path:
        for name, text in {
            "shop_contracts/__init__.py": "",
            "shop_contracts/orders.py": EVENTS,
            **files,
        }.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Path("topology.yaml")

    yield write_files
    for name in sorted(set(sys.modules) - before):
        if name.startswith("shop_"):
            del sys.modules[name]


def report(path: Path, **checks: Callable[..., object]) -> list[str]:
    """Check a file that is wrong."""
    with pytest.raises(TopologyErrors) as caught:
        check_file(path, **checks)  # type: ignore[arg-type] # the tests pass fitting functions
    return [problem.replace(str(Path.cwd()), "HERE") for problem in caught.value.problems]


def declare(*, topics: str = "", rest: str = "") -> str:
    """Return a topology with a good topic in line 3, `topics` from line 4 on, and more sections."""
    return (
        f"app: shop\ntopics:\n  good: {{event: shop_contracts.orders:Order, partitions: 3}}\n{topics}{rest}"
    )


def test_everything_that_is_named_is_found(write: Write) -> None:
    """Event classes, the handler, table types, the source and the checks."""
    resolved = resolve(load(write({"topology.yaml": GOOD})))
    assert [event.__name__ for event in resolved.topics["orders"].events] == ["Order", "Refund"]
    assert all(issubclass(event, Event) for event in resolved.topics["orders"].events)
    saga = resolved.processors["saga"]
    assert saga.handler.__name__ == "handle"
    assert {name: kind.__name__ for name, kind in saga.tables.items()} == {
        "state": "State",
        "count": "int",
        "money": "Decimal",
    }
    assert [topic.decl.name for topic in (*saga.reads, *saga.writes)] == ["orders", "copies"]
    assert resolved.producers["orders"].source.__name__ == "generate"
    assert list(resolved.checks) == ["shop_contracts.orders:handle"]


def test_a_part_can_be_resolved_without_importing_the_others(write: Write) -> None:
    """A worker does not pay for, or fail with, the handlers of other processors."""
    rest = """\
processors:
  saga: {handler: shop_contracts.orders:handle, reads: [good]}
  other: {handler: shop_broken:handle, reads: [good]}
"""
    topology = load(write({"topology.yaml": declare(rest=rest), "shop_broken.py": "1 / 0"}))
    resolved = resolve(topology, only=["processors.saga"])
    assert (list(resolved.processors), list(resolved.topics)) == (["saga"], ["good"])
    assert list(resolve(topology, only=["topics.good"]).topics) == ["good"]
    with pytest.raises(TopologyError, match='processor "sage" is not declared'):
        resolve(topology, only=["processors.sage"])


def test_names_that_are_not_there_are_told_with_the_nearest_one(write: Write) -> None:
    """A module, a module inside a package, and a name in a module."""
    topics = """\
  a: {event: shop_contract.orders:Order, partitions: 3}
  b: {events: [shop_contracts.order:Order, shop_contracts.orders:Odrer], partitions: 3}
  c: {event: shop_contracts.orders.deep:Order, partitions: 3}
"""
    missing, inner, name, deep = report(write({"topology.yaml": declare(topics=topics)}))
    assert missing == (
        'topology.yaml:4: topics.a.event: there is no module "shop_contract" in HERE; '
        'did you mean "shop_contracts"?'
    )
    assert inner == (
        'topology.yaml:5: topics.b.events.0: there is no module "shop_contracts.order" in HERE; '
        'did you mean "shop_contracts.orders"?'
    )
    assert name == (
        'topology.yaml:5: topics.b.events.1: "shop_contracts.orders:Odrer": shop_contracts/orders.py '
        'has no name "Odrer"; did you mean "Order"?'
    )
    assert deep == 'topology.yaml:6: topics.c.event: there is no module "shop_contracts.orders.deep" in HERE'


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "x = 1\nimport shop_not_there\n",
            ":2: ModuleNotFoundError: No module named 'shop_not_there'; install the package that has it",
        ),
        ("from shop_contracts.orders import Nope\n", ":1: ImportError: cannot import name 'Nope' from"),
        ("def f(:\n", ":1: SyntaxError: invalid syntax"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", ":2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", ":2: SystemExit: 3"),
        (
            "from holdfast import Event\nclass Bad(Event, version=0): ...\n",
            ":2: shop_broken:Bad: version=0, oldest=1",
        ),
    ],
    ids=["missing-package", "missing-name", "syntax", "raises", "exits", "refused-by-holdfast"],
)
def test_a_module_that_fails_is_told_once_with_the_failing_line(write: Write, code: str, text: str) -> None:
    """Two names in it are one problem."""
    handlers = (f"  {name}: {{handler: shop_broken:{name}, reads: [good]}}\n" for name in "ab")
    rest = "processors:\n" + "".join(handlers)
    problem, *others = report(write({"topology.yaml": declare(rest=rest), "shop_broken.py": code}))
    assert problem.startswith(
        'topology.yaml:5: processors.a.handler: importing "shop_broken" fails at shop_broken.py'
    )
    assert text in problem
    assert others == []


def test_a_key_that_could_never_be_published_is_told(write: Write) -> None:
    """Of a type without a settled text, or a part of the event."""
    rest = """\
  weighed: {event: shop_contracts.orders:Weighed, key: weight, partitions: 3}
  counted: {event: shop_contracts.orders:Weighed, key: flag, partitions: 3}
  stated: {event: shop_contracts.orders:Weighed, key: state, partitions: 3}
  listed: {event: shop_contracts.orders:Weighed, key: lines, partitions: 3}
  good1: {event: shop_contracts.orders:Weighed, key: number, partitions: 3}
  good2: {event: shop_contracts.orders:Weighed, key: kind, partitions: 3}
  good3: {event: shop_contracts.orders:Weighed, key: mail, partitions: 3}
"""
    weighed = """
from typing import Literal, NewType
Weight = NewType("Weight", float)
class Mail:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_): return {"type": "str"}
class Weighed(Event):
    weight: Weight
    flag: bool | None
    state: State
    lines: list[str]
    number: int | None
    kind: Literal["a", "b"]
    mail: Mail
"""
    lines = report(write({"topology.yaml": declare(rest=rest), "shop_contracts/orders.py": EVENTS + weighed}))
    assert [line.split(":")[2].strip() for line in lines] == [
        f"topics.{name}.key" for name in ("weighed", "counted", "stated", "listed")
    ]
    assert all("is of a type that cannot be a key; use str, int" in line for line in lines)


def test_objects_of_the_wrong_kind_are_told(write: Write) -> None:
    """Each with what it is."""
    rest = """\
  one: {events: [shop_contracts.orders:State, shop_contracts.orders:number], partitions: 3}
  two: {events: [shop_contracts.orders:Order, shop_contracts.orders:Renamed], key: order, partitions: 3}
processors:
  saga:
    handler: shop_contracts.orders:number
    reads: [good]
    tables: {loose: shop_contracts.orders:Loose, number: shop_contracts.orders:number}
  live: {runtime: faust, agent: shop_contracts.orders:handle, reads: [good]}
producers:
  none: {source: shop_contracts.orders:nothing, writes: [good]}
checks: [shop_contracts.orders:number]
"""
    lines = report(write({"topology.yaml": declare(rest=rest)}))
    expected = [
        ('topology.yaml:4: topics.one.events.0: "shop_contracts.orders:State": ', "is not an event class"),
        ('topology.yaml:4: topics.one.events.1: "shop_contracts.orders:number": ', "3 is not an event class"),
        (
            "topology.yaml:5: topics.two.key: ",
            'Order has no field "order"; did you mean "order_id"? (fields: order_id)',
        ),
        ("topology.yaml:5: topics.two.key: ", 'Renamed has no field "order"'),
        ("topology.yaml:5: topics.two.events.1: ", 'has the event name "Order", which is that of'),
        ("topology.yaml:8: processors.saga.handler: ", "is not a function but a value of type int"),
        ("topology.yaml:10: processors.saga.tables.loose: ", "Loose is not frozen"),
        ("topology.yaml:10: processors.saga.tables.number: ", "3 is not a type"),
        ("topology.yaml:11: processors.live.agent: ", "is no faust.App but a value of type function"),
        ("topology.yaml:13: producers.none.source: ", "is None"),
        ("topology.yaml:14: checks.0: ", "is not a function but a value of type int"),
    ]
    assert len(lines) == len(expected), lines
    for line, (start, part) in zip(lines, expected, strict=True):
        assert line.startswith(start)
        assert part in line


def test_the_handler_check_sees_the_resolved_processor_and_its_words_are_reported(write: Write) -> None:
    """It may give several problems, or raise one."""
    path = write({"topology.yaml": GOOD})

    def two(processor: ResolvedProcessor) -> Iterator[str]:
        yield f"{processor.decl.name} reads {len(processor.reads)}"
        raise HandlerError("it takes no event")

    at = "topology.yaml:7: processors.saga.handler: "
    assert report(path, check_handler=two) == [f"{at}saga reads 1", f"{at}it takes no event"]


def test_mistakes_of_the_file_and_of_what_it_names_are_in_one_report(write: Write) -> None:
    """In the order of the file; a handler is not compared with a declaration that has a mistake."""
    rest = """\
processors:
  saga: {handler: shop_contracts.orders:handle, reads: [good], tables: 3}
  other: {handler: shop_contracts.orders:nope, reads: [goods]}
"""

    def refuse(processor: ResolvedProcessor) -> list[str]:
        return [f"asks for a table that {processor.decl.name} does not declare"]

    tables, reads, handler = report(write({"topology.yaml": declare(rest=rest)}), check_handler=refuse)
    assert tables == "topology.yaml:5: processors.saga.tables: expected a mapping (key: value), got 3"
    assert reads.startswith('topology.yaml:6: processors.other.reads.0: topic "goods" is not declared')
    assert handler.startswith('topology.yaml:6: processors.other.handler: "shop_contracts.orders:nope": ')


@pytest.mark.parametrize(
    ("topic", "keys"),
    [
        ("{event: shop_contracts.orders:Ordr, partitions: many}", ["partitions", "event"]),
        ("{event: shop_contracts.orders:Ordr}", ["partitions", "event"]),
        ("{events: [shop_contracts.orders:Ordr, 7], partitions: 3}", ["events.1", "events.0"]),
        ("{event: shop_contracts.orders:Order, key: order, partitions: 0}", ["partitions", "key"]),
    ],
)
def test_a_mistake_in_the_only_topic_hides_none_in_what_it_or_its_readers_name(
    write: Write, topic: str, keys: list[str]
) -> None:
    """Event class, handler, table type, source, agent and check are looked up all the same."""
    text = f"""\
app: shop
topics:
  orders: {topic}
processors:
  saga:
    handler: shop_contracts.orders:nope
    reads: [orders]
    tables: {{b: 1, a: shop_contracts.orders:Stat}}
  live: {{agent: shop_contracts.orders:nope, reads: [orders]}}
producers:
  orders: {{source: shop_contracts.orders:nope}}
checks:
  - 3
  - shop_contracts.orders:nope
"""
    told = [line.split(": ")[1] for line in report(write({"topology.yaml": text}))]
    assert told == [
        *(f"topics.orders.{key}" for key in keys),
        "processors.saga.handler",
        "processors.saga.tables.b",
        "processors.saga.tables.a",
        "processors.live.agent",
        "processors.live.agent",
        "producers.orders.writes",
        "producers.orders.source",
        "checks.0",
        "checks.1",
    ]


@pytest.mark.parametrize("wrong", ["partitions: many", "partitions: 3, replicas: 3", "partitions: 3, key: 5"])
def test_a_handler_is_compared_with_topics_whose_events_are_known(write: Write, wrong: str) -> None:
    """A wrong number of partitions says nothing about the events, and is not compared with others."""
    rest = "processors:\n  saga: {handler: shop_contracts.orders:handle, reads: [good, orders]}\n"
    topics = f"  orders: {{event: shop_contracts.orders:Order, {wrong}}}\n"

    def refuse(processor: ResolvedProcessor) -> list[str]:
        return [f"accepts nothing of {len(processor.reads)} topics"]

    first, second = report(write({"topology.yaml": declare(topics=topics, rest=rest)}), check_handler=refuse)
    assert first.startswith("topology.yaml:4: topics.orders.")
    assert second == "topology.yaml:6: processors.saga.handler: accepts nothing of 2 topics"


@pytest.mark.parametrize("topics", ["topics: {}", "other: 1", "topics: {or ders: {}}", "topics: 3"])
def test_without_usable_topics_handlers_are_looked_up(write: Write, topics: str) -> None:
    """And nothing is said about topics that stand in for them."""
    text = f"app: shop\n{topics}\nprocessors:\n  saga: {{handler: shop_contracts.orders:nope}}\n"
    problems = report(write({"topology.yaml": text}))
    assert any("processors.saga.reads: missing" in problem for problem in problems)
    assert any(problem.startswith("topology.yaml:4: processors.saga.handler: ") for problem in problems)
    assert "stand-in" not in str(problems)


def test_refused_client_properties_are_in_the_report(write: Write) -> None:
    """The check is the client's; the line is ours."""
    text = declare(rest="kafka:\n  client.rack: r1\n  acks: 1\n")

    def no_acks(properties: dict[str, str]) -> None:
        if "acks" in properties:
            raise HandlerError("no acks")

    assert report(write({"topology.yaml": text}), check_kafka=no_acks) == [
        "topology.yaml:6: kafka.acks: no acks"
    ]


def test_the_command_tells_all_mistakes_without_a_traceback(write: Write) -> None:
    """`holdfast check` ends with exit code 1 and one line for each."""
    rest = "processors:\n  saga: {handler: shop_contracts.orders:handle, reads: [goud]}\n"
    write({"topology.yaml": declare(rest=rest)})
    command = [sys.executable, "-m", "holdfast", "check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: topology.yaml:5: processors.saga.reads.0: topic "goud" is not declared')


def test_the_command_confirms_a_file_without_mistakes(write: Write) -> None:
    """`holdfast check FILE` says what it found."""
    write({"shop.yaml": declare()})
    command = [sys.executable, "-m", "holdfast", "check", "shop.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "shop.yaml: shop has 1 topic, 0 processors, 0 producers, 0 checks. No mistakes.\n"

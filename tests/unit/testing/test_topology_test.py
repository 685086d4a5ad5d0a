"""The in-memory driver does with a topology what workers do, except for Kafka."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import Context, Event, State, Tombstone, processor
from holdfast.checks import CheckResult, TopicReader
from holdfast.errors import TopologyError, UndeclaredOutput
from holdfast.record import Position
from holdfast.sinks.http import HttpAnswer, HttpClient
from holdfast.testing import TopologyTest
from holdfast.topology import Topology, load


class Typed(Event):
    """Somebody typed a word."""

    word: str


class Counted(Event):
    """How often a word was typed so far."""

    word: str
    count: int


@processor
def count(event: Typed | Tombstone, counts: State[int]) -> Counted | None:
    """Count by word; a tombstone starts over."""
    if isinstance(event, Tombstone):
        counts.delete()
        return None
    if event.word == "crash":
        raise ValueError("that word")
    counts.set((counts.get() or 0) + 1)
    return Counted(word=event.word, count=counts.get() or 0)


def source(words: str = "a b a") -> Iterator[Typed]:
    """Yield words."""
    return (Typed(word=word) for word in words.split())


def three_typed(log: TopicReader) -> CheckResult:
    """Exactly three words were typed."""
    typed = len(list(log.events("typed")))
    return CheckResult.of("three", [] if typed == 3 else [f"{typed} words"], typed=typed)


FILE = """
app: words
topics:
  typed:   {{event: {me}:Typed, key: word, partitions: 6}}
  counted: {{event: {me}:Counted, key: word, partitions: 6}}
processors:
  count:
    handler: {me}:count
    reads: [typed]
    tables: {{counts: int}}
    writes: [counted]
    on_error: {on_error}
producers:
  words: {{source: {me}:source, writes: [typed]}}
checks: [{me}:three_typed]
"""


def write(folder: Path, on_error: str = "stop") -> Topology:
    """The topology of these tests, read from a file."""
    file = folder / "topology.yaml"
    file.write_text(FILE.format(me=__name__, on_error=on_error))
    return load(file)


@pytest.fixture
def words(tmp_path: Path) -> TopologyTest:
    """The topology in memory."""
    return TopologyTest(write(tmp_path))


def counted(words: TopologyTest) -> list[tuple[str, int]]:
    """The outputs in order."""
    return [(record.event.word, record.event.count) for record in words.events("counted")]


def test_what_a_producer_yields_is_processed(words: TopologyTest) -> None:
    """Outputs, tables and keys are there after `run`."""
    assert words.produce("words", words="a b a") == 3
    words.run()
    assert counted(words) == [("a", 1), ("b", 1), ("a", 2)]
    assert words.table("count", "counts") == {"a": 2, "b": 1}
    assert [record.key for record in words.events("counted")] == ["a", "b", "a"]


def test_it_goes_on_where_it_stopped(words: TopologyTest) -> None:
    """A second `run` handles what was published since the first."""
    for _ in range(2):
        words.publish("typed", Typed(word="a"), timestamp=5)
        words.run()
    assert counted(words) == [("a", 1), ("a", 2)]
    assert {record.timestamp for record in words.events("counted")} == {5}


def test_a_tombstone_reaches_the_handler(words: TopologyTest) -> None:
    """It deletes what the handler deletes."""
    words.publish("typed", Typed(word="a"), Tombstone(Typed, "a"))
    words.run()
    assert words.table("count", "counts") == {}


def test_a_handler_that_raises_ends_the_run_with_its_own_error(words: TopologyTest) -> None:
    """The error names the record; what was handled before it stays."""
    words.publish("typed", Typed(word="a"), Typed(word="crash"), Typed(word="b"))
    with pytest.raises(ValueError, match="that word") as error:
        words.run()
    assert "processor 'count' stopped at typed[0]@1" in str(error.value.__notes__)
    assert counted(words) == [("a", 1)]


def test_dead_letters_are_kept_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Both a record that cannot be decoded and, where declared, one that the handler refuses."""
    words = TopologyTest(write(tmp_path, on_error="dead-letter"))
    words.publish_raw("typed", b"no json", key=b"a")
    words.publish("typed", Typed(word="crash"), Typed(word="b"))
    words.run()
    assert [letter.value() for letter in words.dead_letters()] == [b"no json", b'{"word":"crash"}']
    assert counted(words) == [("b", 1)]
    assert len(list(words.events("typed"))) == 2


@pytest.mark.parametrize("seed", range(5))
def test_every_interleaving_with_crashes_gives_the_same_tables(tmp_path: Path, seed: int) -> None:
    """Order within a key is kept, and an aborted step leaves nothing behind."""
    words = TopologyTest(write(tmp_path), partitions=3, rng=random.Random(seed), crashes=0.5)
    words.produce("words", words="a b c d a b a " * 20)
    words.run()
    assert words.table("count", "counts") == {"a": 60, "b": 40, "c": 20, "d": 20}
    assert sorted(counted(words)) == sorted(
        (word, n + 1) for word, total in words.table("count", "counts").items() for n in range(total)
    )


def test_declared_checks_run_over_what_is_there(words: TopologyTest) -> None:
    """A check is called with the test as its reader."""
    words.produce("words")
    assert [result.ok for result in words.check()] == [True]
    words.produce("words")
    (result,) = words.check("three_typed")
    assert (result.ok, result.violations, result.examples) == (False, 1, ("6 words",))


def test_what_is_not_declared_is_refused(words: TopologyTest) -> None:
    """Topics, producers, tables and events that the topology does not know are errors, not empty."""
    with pytest.raises(TopologyError, match='topic "tpyed" is not declared'):
        words.publish("tpyed", Typed(word="a"))
    with pytest.raises(TopologyError, match='topic "tpyed" is not declared'):
        words.events("tpyed")
    with pytest.raises(TopologyError, match='producer "nobody" is not declared'):
        words.produce("nobody")
    with pytest.raises(TopologyError, match='declares no table "sums"'):
        words.table("count", "sums")


@pytest.mark.parametrize(
    ("event", "said"),
    [(Counted(word="a", count=1), "Counted"), (Tombstone(Counted, "a"), "Tombstone(Counted, ...)")],
)
def test_an_event_that_the_topic_does_not_carry_is_refused_in_its_words(
    words: TopologyTest, event: Event | Tombstone, said: str
) -> None:
    """A test is no processor: the text names the topic and what it carries."""
    with pytest.raises(UndeclaredOutput) as caught:
        words.publish("typed", event)
    assert str(caught.value) == (
        f"topic 'typed' does not carry {said}; it carries Typed. Publish it to another topic, or add its "
        "class to the topic's `events`"
    )


def test_a_producer_that_yields_what_it_does_not_declare_is_called_a_producer(tmp_path: Path) -> None:
    """Not a processor."""
    file = tmp_path / "topology.yaml"
    file.write_text(FILE.format(me=__name__, on_error="stop").replace("writes: [typed]", "writes: [counted]"))
    with pytest.raises(UndeclaredOutput, match=r"^producer 'words' emitted Typed, but none of its `writes`"):
        TopologyTest(file).produce("words")


def test_the_file_may_be_named_by_a_text_or_a_path(tmp_path: Path) -> None:
    """Both are usual."""
    write(tmp_path)
    for name in (str(tmp_path / "topology.yaml"), tmp_path / "topology.yaml"):
        assert TopologyTest(name).topology.app == "words"


def test_a_missing_file_is_told_without_options_of_the_command_line(tmp_path: Path) -> None:
    """A test has none."""
    with pytest.raises(TopologyError, match="there is no such file") as caught:
        TopologyTest(tmp_path / "topology.yaml")
    assert "--" not in str(caught.value)


class Token(Event):
    """Under which token a word was handled."""

    word: str
    token: int


@processor
def tell_token(event: Typed, at: Context) -> Token:
    """Its shard's fencing token."""
    return Token(word=event.word, token=at.fencing_token)


def test_a_new_owner_has_a_larger_fencing_token(tmp_path: Path) -> None:
    """As on brokers; what was given up leaves a gap."""
    declared = Topology.model_validate(
        {
            "app": "tokens",
            "topics": {
                "typed": {"event": f"{__name__}:Typed", "key": "word", "partitions": 1},
                "tokens": {"event": f"{__name__}:Token", "key": "word", "partitions": 1},
            },
            "processors": {
                "p": {"handler": f"{__name__}:tell_token", "reads": ["typed"], "writes": ["tokens"]}
            },
        }
    )
    driver = TopologyTest(declared, rng=random.Random(1), crashes=0.5)
    driver.publish("typed", *(Typed(word=str(n)) for n in range(30)))
    driver.run()
    tokens = [record.event.token for record in driver.events("tokens")]
    assert tokens == sorted(tokens)
    assert tokens[0] >= 1
    assert len(set(tokens)) > 3


ASKING = """
app: words
sinks: {{oracle: {{type: http, url: "http://127.0.0.1:1"}}}}
topics:
  typed:   {{event: {me}:Typed, key: word, partitions: 6}}
  counted: {{event: {me}:Counted, key: word, partitions: 6}}
processors:
  ask: {{handler: {me}:ask, reads: [typed], asks: [oracle], writes: [counted], on_error: {on_error}}}
"""


@processor
async def ask(event: Typed, oracle: HttpClient) -> Counted:
    """Ask for the count of a word."""
    answer = await oracle.get(f"/{event.word}")
    return Counted(word=event.word, count=answer.json())


class Oracle:
    """Counts letters, and knows no crashes."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, path: str) -> HttpAnswer:
        """Answer with the number of letters."""
        self.asked.append(path)
        if path == "/crash":
            raise ValueError("that word")
        return HttpAnswer(200, {}, str(len(path) - 1).encode())


def asking(folder: Path, oracle: Oracle, on_error: str) -> TopologyTest:
    """A topology whose handler asks."""
    path = folder / "topology.yaml"
    path.write_text(ASKING.format(me=__name__, on_error=on_error))
    made = TopologyTest(path, clients={"oracle": oracle})
    made.publish("typed", *(Typed(word=word) for word in ("ab", "crash", "abc")))
    return made


def test_an_async_handler_asks_what_the_test_gives_it(tmp_path: Path) -> None:
    """A record whose handler fails is set aside, once asked for."""
    oracle = Oracle()
    made = asking(tmp_path, oracle, "dead-letter")
    made.run()
    assert [it.event.count for it in made.events("counted")] == [2, 3]
    (letter,) = made.dead_letters()
    assert letter.key() == b"crash"
    assert oracle.asked == ["/ab", "/crash", "/abc"]


def test_an_async_handler_that_fails_stops_its_shard(tmp_path: Path) -> None:
    """What is before the record is done, and the note names it."""
    made = asking(tmp_path, Oracle(), "stop")
    with pytest.raises(ValueError, match="that word") as caught:
        made.run()
    assert caught.value.__notes__ == [f"processor 'ask' stopped at {Position('typed', 0, 1)}"]
    assert [it.event.count for it in made.events("counted")] == [2]


def test_what_is_asked_has_to_be_given(tmp_path: Path) -> None:
    """And nothing else."""
    asking(tmp_path, Oracle(), "stop")
    with pytest.raises(TopologyError, match="say what async handlers ask 'oracle' with"):
        TopologyTest(tmp_path / "topology.yaml")
    with pytest.raises(TopologyError, match="no processor asks 'orcale'"):
        TopologyTest(tmp_path / "topology.yaml", clients={"oracle": Oracle(), "orcale": Oracle()})

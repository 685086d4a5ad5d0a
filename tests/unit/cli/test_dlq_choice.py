"""What `holdfast dlq` says about a choice of letters before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from holdfast.cli import dlq
from holdfast.cli.main import build_app
from holdfast.errors import LettersRefused
from holdfast.kafka.dispositions import Disposition
from holdfast.record import Position
from holdfast.runtime.letter_choice import Choice, Found
from holdfast.runtime.redrive import Done
from tests.unit.runtime.test_letter_choice import LETTER

FILE = """
app: app
topics:
  measured: {event: a:A, key: id, partitions: 2}
sinks:
  database: {type: postgres, dsn: dbname=x}
  service:  {type: http, url: "http://service"}
  cache:    {type: redis, url: "redis://cache"}
  mirror:   {type: kafka, bootstrap_servers: "other:9092"}
  lake:     {type: parquet, path: /data}
  own:      {type: custom, sink: "a:S"}
processors:
  convert:  {handler: a:f, reads: [measured], redrive: true}
  asking:   {handler: a:f, reads: [measured], redrive: true, asks: [service]}
  rows:     {handler: a:f, reads: [measured], redrive: true, sink: database}
  states:   {handler: a:f, reads: [measured], redrive: true, sink: database}
  calls:    {handler: a:f, reads: [measured], redrive: true, sink: service}
  keys:     {handler: a:f, reads: [measured], redrive: true, sink: cache}
  records:  {handler: a:f, reads: [measured], redrive: true, sink: mirror}
  files:    {handler: a:f, reads: [measured], redrive: true, sink: lake}
  anything: {handler: a:f, reads: [measured], redrive: true, sink: own}
"""
Said = Callable[..., Result]


class Box:
    """Letters in memory."""

    unreadable = 0

    def __init__(self) -> None:
        self.letters: list[Found] = []

    def find(self, choice: Choice, _: str = "facts") -> Iterator[Found]:
        """Those of a choice."""
        return (it for it in self.letters if choice.takes(it))


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    """The letters that the commands find."""
    found = Box()

    @contextmanager
    def opened(*_: object) -> Iterator[Box]:
        yield found

    monkeypatch.setattr(dlq, "_box", opened)
    return found


@pytest.fixture
def said(tmp_path: Path, box: Box) -> Said:
    """Run `holdfast dlq`."""
    file = tmp_path / "topology.yaml"
    file.write_text(FILE)

    def run(*arguments: str) -> Result:
        given = ["dlq", *arguments, "-t", str(file), "-b", "127.0.0.1:1"]
        return CliRunner().invoke(build_app(), given, env={"COLUMNS": "200"})

    return run


def letter(processor: str, offset: int = 17) -> Found:
    """An open letter of a processor."""
    return Found(replace(LETTER, processor=processor, place=Position("app.dead-letters", 3, offset)))


@pytest.mark.parametrize(
    ("processor", "sink", "how"),
    [
        ("rows", "database", "with Upsert"),
        ("calls", "service", "with PUT"),
        ("keys", "cache", "with Set or HashSet"),
        ("records", "mirror", "in a compacted topic"),
        ("anything", "own", "where the sink replaces what is there"),
    ],
)
def test_a_dry_run_says_where_an_old_state_may_replace_a_newer_one(
    said: Said, box: Box, processor: str, sink: str, how: str
) -> None:
    """Where one decides, in one line."""
    box.letters = [letter(processor)]
    done = said("redrive", "--all", "--dry-run")
    assert done.exit_code == 0, done.output
    assert (
        f"{processor} writes to sink {sink}: a later record of the same key may have been written meanwhile, "
        f"and {how} what is redriven puts its old state over the newer one. Discard such letters, or publish "
        "the present state.\n"
    ) in done.stderr
    assert done.stderr.endswith("1 letter would be redriven; nothing was changed.\n")


class Dealt:
    """What deals with letters, in memory: with those that it is given, whatever is chosen."""

    def __init__(self, *processors: str) -> None:
        self.done = Done()
        self._processors = processors

    def redrive(self, _: Choice) -> None:
        """Deal with them."""
        self.done.letters.update(self._processors)

    def wait(self, _: float) -> None:
        """Nobody handles them."""
        self.done.is_late = True


@pytest.fixture
def dealt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a function that sets the letters that a redrive finds, by their processors."""

    def set_(*processors: str) -> None:
        def deal(_: object, __: str, deal: Callable[[Dealt], None], *___: object, **____: object) -> Done:
            dealing = Dealt(*processors)
            deal(dealing)
            return dealing.done

        monkeypatch.setattr(dlq, "_deal", deal)

    return set_


def test_a_redrive_warns_of_old_states_as_its_dry_run_does(said: Said, dealt: Callable[..., None]) -> None:
    """Who leaves the dry run out was not told; it is no reason to stop."""
    dealt("rows", "convert", "rows")
    done = said("redrive", "--all")
    assert done.exit_code == 0, done.output
    assert (
        done.stderr.count("rows writes to sink database: a later record of the same key may have been") == 1
    )
    assert done.stderr.endswith("3 letters redriven.\n")
    dealt("convert")
    assert said("redrive", "--all").stderr == "1 letter redriven.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--error", "nothing"], "no open letter fits, so nothing was redriven.\n"),
        (["--all"], "nothing was left to be redriven.\n"),
    ],
)
def test_a_filter_that_no_letter_fits_is_told_as_such(
    said: Said, dealt: Callable[..., None], arguments: list[str], told: str
) -> None:
    """It may be mistaken; with all of them there is none left."""
    dealt()
    assert said("redrive", *arguments).stderr == told


def test_a_wait_in_vain_tells_that_no_worker_may_be_running(said: Said, dealt: Callable[..., None]) -> None:
    """And where one sees that."""
    dealt("convert")
    done = said("redrive", "--all", "--wait", "1")
    assert done.exit_code == dlq.FAILED_AGAIN
    assert (
        "If no worker runs (`holdfast groups` shows it) they wait for the next `holdfast run`." in done.stderr
    )


def test_a_sink_of_two_processors_is_told_once(said: Said, box: Box) -> None:
    """With both of them."""
    box.letters = [letter("states"), letter("rows", 18), letter("rows", 19)]
    told = said("redrive", "--all", "--dry-run").stderr
    assert told.count("may have been written meanwhile") == 1
    assert "rows, states write to sink database: " in told


@pytest.mark.parametrize("processor", ["convert", "asking", "files"])
def test_a_dry_run_says_nothing_of_states_where_there_are_none(said: Said, box: Box, processor: str) -> None:
    """Without a sink, and with one that only adds records."""
    box.letters = [letter(processor)]
    assert (
        said("redrive", "--all", "--dry-run").stderr == "1 letter would be redriven; nothing was changed.\n"
    )


def test_what_is_given_up_replaces_nothing(said: Said, box: Box) -> None:
    """So nothing is said of it."""
    box.letters = [letter("rows")]
    done = said("discard", "--all", "--why", "old", "--dry-run")
    assert done.stderr == "1 letter would be discarded; nothing was changed.\n"


def test_a_dry_run_refuses_letters_that_are_not_there(said: Said, box: Box) -> None:
    """As the redrive itself does; one that was dealt with is counted."""
    box.letters = [
        letter("convert"),
        replace(letter("convert", 18), disposition=Disposition("redriven", 1, "a")),
    ]
    done = said("redrive", "3@17", "3@18", "--dry-run")
    assert done.stderr == (
        "1 letter had been dealt with before.\n1 letter would be redriven; nothing was changed.\n"
    )
    done = said("redrive", "3@17", "3@71", "--dry-run")
    assert isinstance(done.exception, LettersRefused)
    assert "there is no such letter: 3@71" in str(done.exception)


def test_a_name_that_is_not_declared_is_told_when_nothing_fits(said: Said, box: Box) -> None:
    """Letters may be of a processor that is gone, so nothing is refused."""
    box.letters = [letter("gone")]
    assert "declares" not in said("list", "--processor", "gone").stderr
    told = said("list", "--processor", "convrt", "--topic", "measure").stderr
    assert 'topology.yaml declares no processor "convrt"; did you mean "convert"?' in told
    assert 'topology.yaml declares no topic "measure"; did you mean "measured"?' in told
    assert "declares" not in said("list", "--processor", "rows").stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["discard", "--why", "x", "--error", ""], "--error is empty, which every cause has in it"),
        (["redrive", "3@17", "--all"], "--all is for all open letters, and some are named"),
        (["redrive", "--since", "1h", "--until", "2h"], "no letter was set aside since 1h and before 2h"),
        (["show", "measured[3]@17"], "is a place in measured, and dead letters are in app.dead-letters"),
        (["discard", "measured[3]@17", "--why", "x"], "is a place in measured"),
        (["discard", "--all", "--why", " "], "say why, for whoever finds them discarded"),
        (["discard", "--all", "--why", "\udcff"], "this is no text in UTF-8"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(said: Said, arguments: list[str], told: str) -> None:
    """With what to say instead."""
    done = said(*arguments)
    assert done.exit_code in (1, 2)
    assert told in (str(done.exception) if isinstance(done.exception, LettersRefused) else done.stderr)

"""What `holdfast verify replicas` shows of its results."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from holdfast.cli.main import build_app
from holdfast.cli.rows import print_table
from holdfast.cli.verify_replicas import as_row, details, replicas_table, verdict_of
from holdfast.kafka.replicas.verdict import Finding, ReplicaResult, Verdict
from holdfast.record import TopicPartition


def result(
    broker: int, verdict: Verdict = Verdict.SAME, detail: str = "", partition: int = 0
) -> ReplicaResult:
    """One replica's result; broker 1 leads."""
    finding = Finding(verdict, 7 if verdict is Verdict.DIFFERS else None, detail)
    place = TopicPartition("temperature-measurements", partition)
    return ReplicaResult(place, broker, broker == 1, 0, 1_234_567, 1_234_500, finding)


def test_a_narrow_terminal_shows_every_replica_and_its_verdict() -> None:
    """Names whole, numbers give way."""
    console = Console(file=io.StringIO(), width=60, force_terminal=True, color_system=None)
    print_table(replicas_table(console, [result(1), result(2, Verdict.NOT_READ)]), console)
    assert isinstance(console.file, io.StringIO)
    _, first, second = (line.split() for line in console.file.getvalue().splitlines())
    assert first[:2] == ["temperature-measurements[0]", "1"]
    assert first[-1] == "same"
    assert second[-2:] == ["not", "read"]


def test_one_reason_is_said_once_with_all_its_replicas() -> None:
    """A cluster without racks has one reason for a hundred replicas."""
    found = details([result(1), result(2, Verdict.NOT_READ, "why"), result(3, Verdict.NOT_READ, "why")])
    assert found == [
        ("temperature-measurements[0] on broker 2, temperature-measurements[0] on broker 3", "why")
    ]


def test_the_sentence_at_the_end_never_calls_good_what_was_not_compared() -> None:
    """Only replicas that were read and compared hold the same records."""
    assert "All 2 replicas hold the same records" in verdict_of([result(1), result(2)])
    mixed = verdict_of([result(1), result(2, Verdict.NOT_READ), result(3, Verdict.DIFFERS)])
    assert "Of 3 replicas: 1 different, 1 not read, 1 the same." in mixed
    assert "hold the same" not in mixed


def test_a_row_for_programs_has_everything() -> None:
    """One JSON object for each replica."""
    assert as_row(result(2, Verdict.DIFFERS, "why", partition=3)) == {
        "topic": "temperature-measurements",
        "partition": 3,
        "replica": 2,
        "leader": False,
        "from": 0,
        "to": 1_234_567,
        "records": 1_234_500,
        "verdict": "differs",
        "offset": 7,
        "detail": "why",
    }


@pytest.mark.parametrize("arguments", [[], ["t", "--from", "9", "--to", "9"], ["t", "--last", "0"]])
def test_options_that_make_no_sense_are_usage_errors(arguments: list[str]) -> None:
    """Exit code 2, before any broker is asked."""
    assert CliRunner().invoke(build_app(), ["verify", "replicas", *arguments]).exit_code == 2

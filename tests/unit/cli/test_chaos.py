"""`holdfast chaos list` and `holdfast chaos plan`: what there is, and what a run would do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from holdfast.chaos.experiment import load
from holdfast.cli import chaos
from holdfast.cli.console import PlainConsole
from holdfast.cli.main import build_app
from holdfast.errors import ChaosError, ExperimentErrors

ROOT = Path(__file__).parents[3]
READY = ROOT / "chaos"


def run(*arguments: str) -> Result:
    """Call a command of `holdfast chaos`."""
    return CliRunner().invoke(build_app(), ["chaos", *arguments])


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> PlainConsole:
    """A wide terminal that keeps what is printed."""
    console = PlainConsole(force_terminal=True, color_system=None, width=170, record=True, quiet=False)
    monkeypatch.setattr(chaos, "out", console)
    monkeypatch.setattr(chaos, "wants_json", lambda asked: asked)
    monkeypatch.setattr(chaos, "print_table", console.print)
    return console


def test_the_list_has_each_experiment_with_what_it_shows_and_needs() -> None:
    """For programs: one object per line."""
    done = run("list", str(READY))
    assert done.exit_code == 0, done.output
    rows = {row["experiment"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {path.stem for path in READY.glob("*.yaml")}
    row = rows["one-way-partition"]
    assert row["shows"] == "A worker that is deaf or mute commits nothing as a second owner."
    assert (row["length_ms"], row["faults"], row["needs"]) == (
        120_000,
        ["network.partition"],
        ["network namespaces"],
    )


def test_the_list_is_a_table_in_a_terminal(terminal: PlainConsole) -> None:
    """Length in seconds, and faults and needs beside it."""
    run("list", str(READY))
    lines = terminal.export_text().splitlines()
    assert lines[0].split() == ["experiment", "shows", "length", "faults", "needs"]
    killed = next(line for line in lines if line.startswith("leader-killed"))
    assert "Acknowledged events outlive the broker that leads them." in killed
    assert killed.rstrip().endswith("120 s  broker.kill")


def test_one_with_mistakes_does_not_hide_the_others(tmp_path: Path) -> None:
    """It is told in the end, with its lines."""
    (tmp_path / "good.yaml").write_text((READY / "leader-killed.yaml").read_text())
    (tmp_path / "wrong.yaml").write_text("name: wrong\n")
    done = run("list", str(tmp_path))
    assert json.loads(done.stdout)["experiment"] == "leader-killed"
    assert isinstance(done.exception, ExperimentErrors)
    assert all(line.startswith(f"{tmp_path / 'wrong.yaml'}:1: ") for line in done.exception.problems)


def test_a_folder_without_experiments_says_what_was_looked_for(tmp_path: Path) -> None:
    done = run("list", str(tmp_path))
    assert isinstance(done.exception, ChaosError)
    assert "there are no experiments (*.yaml, *.yml)" in str(done.exception)


def test_a_file_that_ends_in_yml_is_an_experiment_too(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text((READY / "leader-killed.yaml").read_text())
    done = run("list", str(tmp_path))
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [str(tmp_path / "good.yml")]


def test_two_experiments_of_one_name_are_told_apart(terminal: PlainConsole, tmp_path: Path) -> None:
    """Their reports and folders could not be."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text((READY / "leader-killed.yaml").read_text())
    run("list", str(tmp_path))
    lines = [line for line in terminal.export_text().splitlines() if line.startswith("leader-killed")]
    assert [line.split()[:2] for line in lines] == [
        ["leader-killed", "(a.yaml)"],
        ["leader-killed", "(b.yaml)"],
    ]


def test_a_folder_that_is_none_is_not_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.touch()
    for place, told in {tmp_path / "nowhere": "there is no such folder", file: "this is no folder"}.items():
        done = CliRunner().invoke(build_app(), ["chaos", "list", str(place)])
        assert f"{place}: {told}; name the folder" in str(done.exception)


@pytest.mark.timeout(60)
def test_a_pipe_among_the_experiments_is_told_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text((READY / "leader-killed.yaml").read_text())
    os.mkfifo(tmp_path / "pipe.yaml")
    done = run("list", str(tmp_path))
    assert json.loads(done.stdout)["experiment"] == "leader-killed"
    assert f"{tmp_path / 'pipe.yaml'}: this is no file" in str(done.exception)


@pytest.mark.timeout(60)
def test_a_plan_does_not_wait_for_a_topology_that_is_a_pipe(tmp_path: Path) -> None:
    """As one that cannot be read, it is told by `run`."""
    os.mkfifo(tmp_path / "topology.yaml")
    file = tmp_path / "x.yaml"
    file.write_text(
        "name: x\ndescription: x\nworkload: {kind: application, topology: topology.yaml}\ntime_limit: 60s\n"
        "faults: [{at: 1s, fault: sink.down, for: 5s}]\ninvariants: [no-lost-writes]\n"
    )
    assert run("plan", str(file)).exit_code == 0


def test_a_folder_that_cannot_be_looked_at_is_told_without_a_traceback() -> None:
    done = run("list", "a" * 300)
    assert isinstance(done.exception, ChaosError)
    assert "aaa: cannot be read: File name too long" in str(done.exception)


def test_a_plan_is_the_same_for_a_seed_and_another_for_another() -> None:
    file = str(READY / "random-mix.yaml")
    first, again, other = (run("plan", file, "--seed", seed).stdout for seed in ("3", "3", "4"))
    assert first == again != other
    assert set(json.loads(first.splitlines()[0])) == {
        "at_ms",
        "for_ms",
        "fault",
        "target",
        "parameters",
        "draw",
    }


def test_a_plan_is_a_time_line_in_a_terminal(terminal: PlainConsole) -> None:
    """With units, and a last line that says that nothing happened."""
    run("plan", str(READY / "slow-network.yaml"))
    lines = terminal.export_text().splitlines()
    assert lines[1].split()[:6] == ["15.0", "s", "45.0", "s", "network.delay", "everyone"]
    assert "delay 100 ms, jitter 20 ms, peers everyone, direction both" in lines[1]
    assert "rate 3000000 bit/s" in lines[2]
    assert lines[-1] == "slow-network, seed 0: 3 faults in 150 s. Nothing was started."


def test_a_plan_of_a_file_with_mistakes_says_all_of_them() -> None:
    wrong = ROOT / "tests" / "unit" / "chaos" / "experiment" / "invalid" / "too-small.yaml"
    done = run("plan", str(wrong))
    assert isinstance(done.exception, ExperimentErrors)
    assert len(done.exception.problems) == 12


def test_a_seed_is_0_or_more() -> None:
    """Python takes -1 for 1, so that two seeds would be one run."""
    done = run("plan", str(READY / "random-mix.yaml"), "--seed", "-1")
    assert done.exit_code == 2


def test_faults_without_a_target_or_parameters_have_empty_cells(terminal: PlainConsole) -> None:
    run("plan", str(READY / "rolling-restart.yaml"))
    text = terminal.export_text()
    assert load(READY / "rolling-restart.yaml").time_line[2].fault.target is None
    assert "worker.scale" in text
    assert "to 2" in text
    assert "None" not in text

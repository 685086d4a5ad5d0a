"""The contract between the benchmark and every engine it starts, standard library only.

The benchmark starts `<command> --job ... --guarantee ...` (see `parse_settings`). The program
1. prints `BENCH hello <json>` once, with the versions it runs on;
2. prints `BENCH first <unix time in ns>` when its handler is called for the first record;
3. works until SIGTERM, committing its offsets in its consumer group at the commit interval;
4. on SIGTERM stops in order and exits with status 0.

Everything else (end of work, CPU, memory, results) the benchmark observes from outside.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version

REGIONS = {"AT": "EU", "DE": "EU", "ES": "EU", "FR": "EU", "SE": "EU"}
TAX = 1.19


@dataclass(frozen=True, slots=True)
class Settings:
    """What one run is asked to do; the fields are the command-line options."""

    job: str
    guarantee: str
    bootstrap_servers: str
    input: str
    output: str
    app_id: str
    state_dir: str
    commit_interval_ms: int
    partitions: int
    replication: int

    @property
    def exactly_once(self) -> bool:
        """True if the run must be exactly-once."""
        return self.guarantee == "exactly-once"

    @property
    def commit_interval(self) -> float:
        """The commit interval in seconds."""
        return self.commit_interval_ms / 1000


def parse_settings(argv: list[str] | None = None) -> Settings:
    """Read the options that every engine is started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", choices=["totals", "enrich"], required=True)
    parser.add_argument("--guarantee", choices=["none", "at-least-once", "exactly-once"], required=True)
    for name in ("bootstrap-servers", "input", "output", "app-id", "state-dir"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("commit-interval-ms", "partitions", "replication"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return Settings(**vars(parser.parse_args(argv)))


def say_hello(*packages: str) -> None:
    """Tell the benchmark which versions of `packages` run here."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in packages}
    _say("hello", json.dumps(versions))


class FirstRecord:
    """Reports the first record; `seen` keeps the check in the handler to one attribute."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen = False

    def report(self) -> None:
        """Print the time of the first record."""
        self.seen = True
        _say("first", str(time.time_ns()))


def _say(word: str, payload: str) -> None:
    sys.stdout.write(f"BENCH {word} {payload}\n")
    sys.stdout.flush()

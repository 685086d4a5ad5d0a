"""Who may import whom: the contracts hold, and they would notice if they did not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN = {
    "src/holdfast/kafka/reader.py": ("import holdfast.runtime.worker", "Layers of the library"),
    "src/holdfast/engine/unit.py": (
        "import confluent_kafka",
        "The engine is sans-IO: no Kafka client, no store, no clock",
    ),
    "src/holdfast/chaos/experiment/schedule.py": (
        "import time",
        "Chaos experiments are data: no broker, no process, no clock",
    ),
    "src/holdfast/chaos/report/page.py": (
        "import holdfast.chaos.lab.brokers",
        "Reports of chaos runs are made of results alone: no broker, no process, no clock",
    ),
    "src/holdfast/resilience/retry.py": (
        "import confluent_kafka",
        "Resilience knows no Kafka and nothing of Holdfast but its errors",
    ),
    "src/holdfast/chaos/history/model.py": (
        "import holdfast.chaos.checker.verdict",
        "The parts of the chaos lab know only those below them",
    ),
    "src/holdfast/chaos/checker/verdict.py": (
        "import holdfast.local.cluster",
        "Histories are recorded and checked without Kafka, workers or brokers",
    ),
    "src/holdfast/cli/run.py": ("import confluent_kafka", "The Kafka client is imported in one place"),
    "src/holdfast/sinks/http/sink.py": (
        "import holdfast.kafka.client",
        "Of the sinks only the one for Kafka knows Kafka",
    ),
    "src/holdfast/sinks/kafka/sink.py": ("import holdfast.engine.plan", "No sink knows the engine"),
    "src/holdfast/runtime/supervisor.py": (
        "import holdfast.runtime.store",
        "The parts of the runtime know only those below them",
    ),
    "src/holdfast/engine/positions.py": (
        "import holdfast.engine.shard",
        "The parts of a shard know only those below them",
    ),
    "src/holdfast/cli/publish.py": (
        "import processors.credit",
        "The library never imports the application",
    ),
    "producers/orders.py": (
        "import processors.credit",
        "Producers, processors and the gateway do not know each other",
    ),
    "schemas/orders.py": ("import producers.orders", "Contracts know nobody"),
    "gateway/book.py": ("import holdfast", "The gateway is somebody else's service and knows nobody here"),
}
"""One import for each contract, in a file where it must not be."""


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the tree in `root`."""
    paths = os.pathsep.join((str(root / "src"), str(root)))
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"},
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy what the contracts are about."""
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("src", "producers", "processors", "schemas", "gateway"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold() -> None:
    """No module imports what its place does not allow."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert f"{len(FORBIDDEN)} kept, 0 broken" in done.stdout


def test_each_contract_notices_a_forbidden_import(copy: Path) -> None:
    """One wrong import for each contract, and every contract is broken."""
    for name, (line, _) in FORBIDDEN.items():
        file = copy / name
        file.write_text(f"{file.read_text()}\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1
    for _, contract in FORBIDDEN.values():
        assert f"{contract} BROKEN" in done.stdout, done.stdout


def test_a_package_without_a_place_in_the_layers_is_noticed(copy: Path) -> None:
    """A new package has to say where it belongs before it can be merged."""
    (copy / "src" / "holdfast" / "newcomer.py").write_text('"""A module."""\n')
    done = lint(copy)
    assert done.returncode == 1
    assert "newcomer" in done.stdout

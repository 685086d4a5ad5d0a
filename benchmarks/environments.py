"""An environment of its own for every engine: virtual environments, a JVM and the Kafka Streams jars."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
REPOSITORY = ROOT.parent
ENVIRONMENTS = ROOT / ".envs"
KAFKA_STREAMS = ROOT / "kafka_streams"
BUILD_TIMEOUT = 900
JVM_OPTIONS = "-Xms512m -Xmx512m -XX:+UseParallelGC"


class UnavailableError(Exception):
    """This engine cannot run on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Jdk:
    """A Java development kit.

    Attributes:
        home: its folder.
        version: as the kit's `release` file says, for example "25.0.3".
        vendor: who built it.
    """

    home: Path
    version: str
    vendor: str

    @property
    def major(self) -> int:
        """The feature release."""
        return int(self.version.split(".")[0])

    @property
    def java(self) -> Path:
        """The launcher."""
        return self.home / "bin" / "java"


def python(name: str) -> Path:
    """The interpreter of the environment `name`, made from its requirements file if that has changed."""
    requirements = ROOT / "requirements" / f"{name}.txt"
    folder = ENVIRONMENTS / name
    interpreter = folder / "bin" / "python"
    stamp, ready = _digest(requirements, salt=sys.version), folder / ".ready"
    if interpreter.exists() and ready.exists() and ready.read_text() == stamp:
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], what=f"the virtual environment {name}")
    _run(
        [str(interpreter), "-m", "pip", "install", "-q", "-r", str(requirements)], what=f"packages of {name}"
    )
    ready.write_text(stamp)
    return interpreter


def find_jdk() -> Jdk:
    """The newest JDK of JAVA_HOME, the PATH and the usual folder; raises `UnavailableError`."""
    homes = {Path(found) for found in [os.environ.get("JAVA_HOME", "")] if found}
    if compiler := shutil.which("javac"):
        homes.add(Path(compiler).resolve().parents[1])
    homes.update(path.resolve() for path in Path("/usr/lib/jvm").glob("*"))
    kits = [kit for kit in map(_read_jdk, homes) if kit is not None and kit.major >= 17]
    if not kits:
        raise UnavailableError("no JDK 17 or newer found (JAVA_HOME, PATH, /usr/lib/jvm)")
    return max(kits, key=lambda kit: kit.major)


def kafka_streams_command() -> list[str]:
    """Command of the Kafka Streams program, built with Maven if its sources have changed."""
    jdk = find_jdk()
    sources = sorted([KAFKA_STREAMS / "pom.xml", *KAFKA_STREAMS.glob("src/**/*.java")])
    stamp, ready = _digest(*sources), KAFKA_STREAMS / "target" / ".ready"
    if not ready.exists() or ready.read_text() != stamp:
        maven = shutil.which("mvn")
        if maven is None:
            raise UnavailableError("Maven (mvn) is not installed")
        _run(
            [maven, "-q", "-B", "-f", str(KAFKA_STREAMS / "pom.xml"), "clean", "package"],
            what="the Kafka Streams program",
            env=os.environ | {"JAVA_HOME": str(jdk.home)},
        )
        ready.write_text(stamp)
    classpath = f"{KAFKA_STREAMS / 'target' / 'classes'}:{KAFKA_STREAMS / 'target' / 'lib'}/*"
    options = os.environ.get("BENCH_JVM_OPTIONS", JVM_OPTIONS).split()
    return [str(jdk.java), *options, "-cp", classpath, "bench.Bench"]


def _read_jdk(home: Path) -> Jdk | None:
    release = home / "release"
    if not (home / "bin" / "javac").exists() or not release.exists():
        return None
    facts = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    return Jdk(home, facts.get("JAVA_VERSION", '"0"').strip('"'), facts.get("IMPLEMENTOR", '"?"').strip('"'))


def _digest(*files: Path, salt: str = "") -> str:
    digest = hashlib.sha256(salt.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _run(command: list[str], *, what: str, env: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=BUILD_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{what}: not ready after {BUILD_TIMEOUT} s") from error
    if done.returncode:
        raise UnavailableError(f"{what} could not be made: {(done.stderr or done.stdout).strip()[-500:]}")

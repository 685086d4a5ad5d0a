"""Regenerate ``jars.lock``: ``python -m holdfast.local.relock 4.3.1``.

Resolves the class path of that Kafka release with jgo, downloads every jar and pins its
size and SHA-256. Run it when the embedded release changes, read the difference, run the
integration tests, commit the file. With ``--older`` it writes the lock file of a release that brokers
can be upgraded from, beside that of the embedded one.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import Dependency, MavenContext, PythonResolver

from holdfast.local.jars import Jar, format_lock, lock_name

HEADER = """\
# Class path of {what} Apache Kafka {version}: sha256 size group:artifact:version
# Written by `python -m holdfast.local.relock {arguments}`.
"""


def resolve(version: str, repository: Path) -> list[Jar]:
    """Resolve and pin the jars of Apache Kafka `version`, downloading into `repository`."""
    context = MavenContext(resolver=PythonResolver(), repo_cache=repository)
    kafka = context.project("org.apache.kafka", "kafka_2.13").at_version(version).artifact()
    _, nodes = context.resolver.get_dependency_list([Dependency(kafka)])
    artifacts = [kafka, *(node.dep.artifact for node in nodes if node.dep.scope in ("compile", "runtime"))]
    # Kafka logs through SLF4J 1.7 but depends on no binding; without one the broker's log is lost.
    log4j = next(artifact.version for artifact in artifacts if artifact.artifactId == "log4j-core")
    artifacts.append(
        context.project("org.apache.logging.log4j", "log4j-slf4j-impl").at_version(log4j).artifact()
    )
    return sorted((_pin(artifact) for artifact in artifacts), key=lambda jar: (jar.group, jar.artifact))


def _pin(artifact: object) -> Jar:
    content = Path(artifact.resolve()).read_bytes()  # type: ignore[attr-defined]
    return Jar(
        group=artifact.groupId,  # type: ignore[attr-defined]
        artifact=artifact.artifactId,  # type: ignore[attr-defined]
        version=artifact.version,  # type: ignore[attr-defined]
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def main() -> None:
    """Write the lock file beside this module."""
    match sys.argv[1:]:
        case [version]:
            name, what = lock_name(), "the embedded"
        case [version, "--older"]:
            name, what = lock_name(version), "the older"
        case _:
            sys.exit("usage: python -m holdfast.local.relock KAFKA_VERSION [--older]")
    with tempfile.TemporaryDirectory() as repository:
        jars = resolve(version, Path(repository))
    header = HEADER.format(version=version, what=what, arguments=" ".join(sys.argv[1:]))
    file = Path(__file__).with_name(name)
    file.write_text(header + format_lock(jars), encoding="utf-8")
    print(f"{file}: {len(jars)} jars, {sum(jar.size for jar in jars) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

"""The jars of Apache Kafka: pinned in ``jars.lock``, fetched once, checked at every start.

Older releases, which brokers can be upgraded from, have a lock file each: ``jars-4.2.0.lock``.

A jar counts as present only if its bytes have the pinned SHA-256, so a truncated or
damaged file is found and fetched again. Each jar is written to a temporary folder beside
its final place and moved there by a rename: whoever is killed in between leaves nothing
that another start could take for a jar. A file lock keeps two processes from fetching at once.

jgo, which downloads them, is imported when that is needed: it takes a fifth of a command's start.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from holdfast.errors import EmbeddedClusterError
from holdfast.local.folders import cache_folder, make_folder
from holdfast.local.locking import exclusive
from holdfast.local.progress import Progress, Silent

_BROKER_JAR = re.compile(r"kafka_2\.\d+-([\d.]+)\.jar$")
_OLDER = re.compile(r"jars-(.+)\.lock")
PARALLEL = 6
"""Downloads at once: most jars are small, so the round trips dominate."""

TRIES = 3
"""A mirror or proxy that drops one connection should not end the start."""

TIMEOUT_S = 30
"""Seconds without an answer or a byte, after which one try fails."""

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS})


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file of the class path.

    Attributes:
        group: Maven group id.
        artifact: Maven artifact id.
        version: exact version.
        size: bytes.
        sha256: lower-case hex digest of its bytes.
    """

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """File name in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def repository_path(self) -> str:
        """Path inside a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.filename}"

    def fits(self, file: Path) -> bool:
        """Tell whether `file` holds exactly the pinned bytes."""
        try:
            if file.stat().st_size != self.size:
                return False
            with file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256
        except OSError:
            return False


def format_lock(jars: Iterable[Jar]) -> str:
    """Write jars as the text of a lock file (see `parse_lock`)."""
    return "".join(f"{jar.sha256} {jar.size} {jar.group}:{jar.artifact}:{jar.version}\n" for jar in jars)


def parse_lock(text: str) -> tuple[Jar, ...]:
    """Read a lock file: one ``sha256 size group:artifact:version`` for each jar; ``#`` starts a comment."""
    jars = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            digest, size, coordinate = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, int(size), digest))
    return tuple(jars)


def lock_name(release: str | None = None) -> str:
    """Return the name of a lock file: of an older release of Kafka, or of the embedded one."""
    return f"jars-{release}.lock" if release else "jars.lock"


def pinned_jars(release: str | None = None) -> tuple[Jar, ...]:
    """Return the jars of a Kafka release: one of `older_releases`, or that which Holdfast embeds.

    Raises:
        EmbeddedClusterError: that release is not pinned.
    """
    file = _locks().joinpath(lock_name(release))
    if not file.is_file():
        raise EmbeddedClusterError(
            f"the jars of Apache Kafka {release} are not pinned; these older ones are: "
            f"{', '.join(older_releases())}"
        )
    return parse_lock(file.read_text(encoding="utf-8"))


def older_releases() -> tuple[str, ...]:
    """Return the releases of Apache Kafka that brokers can be upgraded from, such as ``4.2.0``."""
    found = (_OLDER.fullmatch(file.name) for file in _locks().iterdir())
    return tuple(sorted(match[1] for match in found if match))


def _locks() -> Traversable:
    return resources.files("holdfast.local")


def kafka_version() -> str:
    """Return the embedded release of Apache Kafka, such as ``4.3.1``."""
    return release_of(jar.filename for jar in pinned_jars()) or ""


def release_of(class_path: Iterable[str]) -> str | None:
    """Return the release of Kafka that a class path is of: its entries are names or paths of jars."""
    found = (_BROKER_JAR.search(jar) for jar in class_path)
    return next((match[1] for match in found if match), None)


def _repository() -> str:
    """Return the Maven repository to download from; ``HOLDFAST_MAVEN_URL`` names a mirror."""
    from jgo.constants import MAVEN_CENTRAL_URL

    return os.environ.get("HOLDFAST_MAVEN_URL", MAVEN_CENTRAL_URL).rstrip("/")


class JarCache:
    """The local folder of verified jars.

    Args:
        folder: where the jars are kept; by default ``jars`` in the cache folder.
        jars: what must be there; by default the pinned ones.
        copies: folders laid out like a Maven repository from which a jar with the right
            hash is copied instead of downloaded; by default the user's ``~/.m2/repository``.
    """

    def __init__(
        self,
        folder: Path | None = None,
        jars: tuple[Jar, ...] | None = None,
        *,
        copies: tuple[Path, ...] | None = None,
    ) -> None:
        self.folder = folder or cache_folder() / "jars"
        self.jars = pinned_jars() if jars is None else jars
        self._copies = copies

    def class_path(self, progress: Progress | None = None) -> tuple[Path, ...]:
        """Return the verified jars in a fixed order; fetch what is missing or damaged first.

        Raises:
            EmbeddedClusterError: the folder is not writable, or a jar cannot be fetched.
        """
        if self._missing():
            make_folder(self.folder, purpose="the downloaded jars", variable="HOLDFAST_CACHE")
            progress = progress or Silent()
            with exclusive(self.folder / ".lock", lambda: progress.step("Waiting for another download")):
                # Whoever held the lock before us may have fetched all or most of them.
                self._fetch(self._missing(), progress)
        return tuple(self.folder / jar.filename for jar in self.jars)

    def _missing(self) -> tuple[Jar, ...]:
        return tuple(jar for jar in self.jars if not jar.fits(self.folder / jar.filename))

    def _fetch(self, missing: tuple[Jar, ...], progress: Progress) -> None:
        for leftover in self.folder.glob(".partial-*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        if not missing:
            return
        progress.download(sum(jar.size for jar in missing))
        with (
            tempfile.TemporaryDirectory(prefix=".partial-", dir=self.folder) as partial,
            ThreadPoolExecutor(PARALLEL, thread_name_prefix="jar") as pool,
        ):
            try:
                list(pool.map(lambda jar: self._fetch_one(jar, Path(partial), progress), missing))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _fetch_one(self, jar: Jar, partial: Path, progress: Progress) -> None:
        try:
            source = self._copy_of(jar, partial, progress) or _download(jar, partial, progress)
            source.replace(self.folder / jar.filename)
        except OSError as error:
            raise EmbeddedClusterError(
                f"cannot store {jar.filename} in {self.folder}: {error.strerror or error}. "
                "Free some space or set HOLDFAST_CACHE to another folder; finished jars are kept."
            ) from error

    def _copy_of(self, jar: Jar, partial: Path, progress: Progress) -> Path | None:
        from jgo.constants import default_maven_repo

        for copies in (default_maven_repo(),) if self._copies is None else self._copies:
            candidate = copies / jar.repository_path
            if jar.fits(candidate):
                copied = Path(shutil.copyfile(candidate, partial / jar.filename))
                progress.received(jar.size)
                return copied
        return None


class _Attempt:
    """One try to download a jar; counts its bytes, to take them back if it fails."""

    def __init__(self, jar: Jar, folder: Path, progress: Progress) -> None:
        self._jar = jar
        self._folder = folder
        self._progress = progress
        self._received = 0
        self.problem = ""

    def run(self) -> Path | None:
        """Return the verified file, or None and say why in `problem`."""
        from jgo.maven import MavenContext, PythonResolver

        context = MavenContext(
            resolver=PythonResolver(progress_callback=self._counting),
            # A folder of its own for each try: jgo takes any file that is already there for complete.
            repo_cache=self._folder,
            remote_repos={"origin": _repository()},
            timeout=TIMEOUT_S,
        )
        jar = self._jar
        try:
            file = Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
        except OSError as error:  # also the root of all errors of `requests`
            if error.errno in _DISK_ERRORS:
                raise
            self.problem = f"{type(error).__name__}: {error}"
        except RuntimeError:  # jgo's answer to anything but status 200
            self.problem = "the repository does not have it"
        else:
            if jar.fits(file):
                return file
            self.problem = f"{file.stat().st_size:,} bytes came, which are not the pinned {jar.size:,} bytes"
        self._progress.received(-self._received)
        return None

    @contextlib.contextmanager
    def _counting(self, _name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield self._count

    def _count(self, size: int) -> None:
        self._received += size
        self._progress.received(size)


def _download(jar: Jar, partial: Path, progress: Progress) -> Path:
    """Fetch one jar through jgo into `partial` and return the verified file."""
    attempt = None
    for number in range(TRIES):
        attempt = _Attempt(jar, partial / f"try-{number}", progress)
        file = attempt.run()
        if file is not None:
            return file
    problem = attempt.problem if attempt else ""
    raise EmbeddedClusterError(
        f"cannot download {_repository()}/{jar.repository_path}: {problem}. Check the network and the proxy "
        "settings (HTTPS_PROXY), or set HOLDFAST_MAVEN_URL to a mirror of Maven Central; jars that are "
        "finished are kept, so the next try goes on from there."
    )

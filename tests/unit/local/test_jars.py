"""The jar cache against a small Maven repository on the loopback interface."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from holdfast.errors import EmbeddedClusterError
from holdfast.local.jars import (
    Jar,
    JarCache,
    format_lock,
    kafka_version,
    older_releases,
    parse_lock,
    pinned_jars,
    release_of,
)


class Repository:
    """A Maven repository in a folder, served over HTTP; counts what is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.url = ""

    def add(self, artifact: str, content: bytes) -> Jar:
        """Put a jar there and return its pin."""
        jar = Jar("org.example", artifact, "1.0", len(content), hashlib.sha256(content).hexdigest())
        self.replace(jar, content)
        return jar

    def replace(self, jar: Jar, content: bytes) -> None:
        """Serve other bytes for a pinned jar."""
        file = self.folder / jar.repository_path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def jars_asked_for(self) -> list[str]:
        """File names of the jars that were requested."""
        return sorted(path.rsplit("/", 1)[-1] for path in self.requests if path.endswith(".jar"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """Give a served repository that downloads come from."""
    served = Repository(tmp_path / "repository")
    served.folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            super().do_GET()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=served.folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HOLDFAST_MAVEN_URL", served.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


class Recorder:
    """A progress that adds up."""

    def __init__(self) -> None:
        self.total = 0
        self.bytes = 0
        self.steps: list[str] = []

    def step(self, text: str) -> None:
        """Note the step."""
        self.steps.append(text)

    def download(self, total_bytes: int) -> None:
        """Note the size."""
        self.total = total_bytes

    def received(self, count: int) -> None:
        """Add the bytes."""
        self.bytes += count


def test_missing_jars_are_downloaded_and_the_progress_adds_up(repository: Repository, tmp_path: Path) -> None:
    """All pinned jars are there afterwards, and every byte was reported."""
    jars = tuple(repository.add(name, name.encode() * 5_000) for name in ("a", "b", "c"))
    progress = Recorder()
    files = JarCache(tmp_path / "cache", jars, copies=()).class_path(progress)
    assert all(jar.fits(file) for jar, file in zip(jars, files, strict=True))
    assert progress.bytes == progress.total == 15_000


def test_jars_that_are_there_are_not_downloaded_again(repository: Repository, tmp_path: Path) -> None:
    """The second start asks the repository for nothing."""
    cache = JarCache(tmp_path / "cache", (repository.add("a", b"aaa"),), copies=())
    cache.class_path()
    repository.requests.clear()
    cache.class_path()
    assert repository.requests == []


@pytest.mark.parametrize("damage", [b"", b"aa", b"aab", b"aaaa"], ids=["empty", "cut", "changed", "longer"])
def test_a_damaged_jar_is_fetched_again_and_no_other(
    repository: Repository, tmp_path: Path, damage: bytes
) -> None:
    """What does not have the pinned hash is replaced; sound neighbours stay."""
    bad, good = repository.add("bad", b"aaa"), repository.add("good", b"ggg")
    cache = JarCache(tmp_path / "cache", (bad, good), copies=())
    (file, _) = cache.class_path()
    repository.requests.clear()
    file.write_bytes(damage)
    cache.class_path()
    assert file.read_bytes() == b"aaa"
    assert repository.jars_asked_for() == ["bad-1.0.jar"]


def test_leftovers_of_a_killed_download_are_removed(repository: Repository, tmp_path: Path) -> None:
    """Temporary folders of a process that was killed do not pile up, and count for nothing."""
    folder = tmp_path / "cache"
    jar = repository.add("a", b"aaa")
    leftover = folder / ".partial-killed"
    leftover.mkdir(parents=True)
    (leftover / jar.filename).write_bytes(b"a")
    JarCache(folder, (jar,), copies=()).class_path()
    assert sorted(entry.name for entry in folder.iterdir() if entry.name != ".lock") == [jar.filename]


def test_a_repository_that_serves_other_bytes_is_refused(repository: Repository, tmp_path: Path) -> None:
    """A jar with a wrong hash is never used; the message names its address and what to do."""
    jar = repository.add("a", b"aaa")
    repository.replace(jar, b"evil")
    cache = JarCache(tmp_path / "cache", (jar,), copies=())
    with pytest.raises(EmbeddedClusterError, match=r"a-1\.0\.jar: 4 bytes came.*pinned 3 bytes.*MAVEN_URL"):
        cache.class_path()
    assert not (cache.folder / jar.filename).exists()


def test_finished_jars_survive_a_failed_download(repository: Repository, tmp_path: Path) -> None:
    """The next try goes on from what is there."""
    there = repository.add("there", b"ttt")
    absent = Jar("org.example", "absent", "1.0", 3, "0" * 64)
    with pytest.raises(EmbeddedClusterError, match="the repository does not have it"):
        JarCache(tmp_path / "cache", (there, absent), copies=()).class_path()
    repository.requests.clear()
    JarCache(tmp_path / "cache", (there,), copies=()).class_path()
    assert repository.requests == []


def test_an_unreachable_repository_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback of the HTTP client: what was tried, and what to set."""
    monkeypatch.setenv("HOLDFAST_MAVEN_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    jar = Jar("org.example", "a", "1.0", 3, "0" * 64)
    with pytest.raises(
        EmbeddedClusterError, match=r"cannot download http://127\.0\.0\.1:9/org/example/a/1\.0/a-1\.0\.jar"
    ):
        JarCache(tmp_path / "cache", (jar,), copies=()).class_path()


def test_a_jar_in_the_users_maven_repository_is_copied_if_its_hash_fits(
    repository: Repository, tmp_path: Path
) -> None:
    """A sound copy saves the download, a damaged one does not."""
    sound, damaged = repository.add("sound", b"sss"), repository.add("damaged", b"ddd")
    mine = Repository(tmp_path / "m2")
    mine.replace(sound, b"sss")
    mine.replace(damaged, b"d")
    JarCache(tmp_path / "cache", (sound, damaged), copies=(mine.folder,)).class_path()
    assert repository.jars_asked_for() == ["damaged-1.0.jar"]


def test_two_starts_at_once_download_each_jar_once(repository: Repository, tmp_path: Path) -> None:
    """The second waits for the first and finds everything there."""
    jars = tuple(repository.add(name, name.encode() * 50_000) for name in ("a", "b", "c"))
    failures: list[BaseException] = []

    def start() -> None:
        try:
            JarCache(tmp_path / "cache", jars, copies=()).class_path()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert repository.jars_asked_for() == ["a-1.0.jar", "b-1.0.jar", "c-1.0.jar"]


def test_a_cache_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    """The message names the folder and the variable that moves it."""
    (tmp_path / "file").write_text("not a folder")
    jar = Jar("org.example", "a", "1.0", 3, "0" * 64)
    with pytest.raises(EmbeddedClusterError, match=r"cannot write the downloaded jars.*HOLDFAST_CACHE"):
        JarCache(tmp_path / "file" / "cache", (jar,), copies=()).class_path()


def test_a_lock_file_reads_back_as_written() -> None:
    """Writing and reading are inverse; comments are skipped."""
    jars = (Jar("org.example", "a", "1.0", 3, "0" * 64), Jar("org.example", "b", "2.1", 5, "f" * 64))
    assert parse_lock("# a comment\n" + format_lock(jars)) == jars


def test_the_shipped_lock_pins_kafka_and_a_log_binding() -> None:
    """Without the binding the brokers' logs would be lost; file names must not collide in one folder."""
    jars = pinned_jars()
    names = [jar.filename for jar in jars]
    assert kafka_version() == "4.3.1"
    assert len(set(names)) == len(names)
    assert any(jar.artifact == "log4j-slf4j-impl" for jar in jars)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)


def test_each_older_release_is_pinned_as_the_embedded_one_is() -> None:
    """And is that which its lock file is called after: brokers would begin with another one."""
    assert "4.2.1" in older_releases()
    for release in older_releases():
        jars = pinned_jars(release)
        assert release_of(jar.filename for jar in jars) == release
        assert any(jar.artifact == "log4j-slf4j-impl" for jar in jars)
        assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)


def test_a_release_that_is_not_pinned_is_told_with_those_that_are() -> None:
    with pytest.raises(EmbeddedClusterError, match=r"Apache Kafka 3\.9\.1 are not pinned; .* are: 4\.2\.1"):
        pinned_jars("3.9.1")


def test_the_release_of_a_class_path_is_that_of_its_broker() -> None:
    assert release_of(["/libs/kafka-clients-4.3.1.jar", "/libs/kafka_2.13-4.2.0.jar"]) == "4.2.0"
    assert release_of(["/libs/kafka-clients-4.3.1.jar"]) is None

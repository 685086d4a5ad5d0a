"""The guide to `holdfast.resilience` is true: each block runs alone and prints what it says."""

from __future__ import annotations

import dataclasses
import inspect
import re
import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from holdfast import errors, resilience
from holdfast.resilience import BreakerSettings

PAGE = Path(__file__).parents[3] / "docs" / "guide" / "resilience.md"
TEXT = PAGE.read_text()
BLOCKS = {
    f"line {TEXT.count(chr(10), 0, found.start()) + 2}": found[1]
    for found in re.finditer(r"^```python\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
}
PRINTED = re.compile(r"print\(.*\)  # (.*)$", flags=re.MULTILINE)


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing beside what the block prints."""


@pytest.fixture
def web_port() -> Iterator[int]:
    """The port of something that answers as `python -m http.server` does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("where", BLOCKS)
def test_a_block_runs_by_itself_and_prints_what_it_says(
    where: str, tmp_path: Path, web_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "block.py"
    file.write_text(BLOCKS[where].replace("127.0.0.1:8080", f"127.0.0.1:{web_port}"))
    names = runpy.run_path(str(file))
    for name, test in names.items():
        if name.startswith("test_"):
            test()
    assert capsys.readouterr().out.splitlines() == PRINTED.findall(BLOCKS[where])


def test_all_code_of_the_page_is_among_the_blocks() -> None:
    assert TEXT.count("```") == 2 * len(BLOCKS)


def test_the_first_block_is_a_small_one() -> None:
    code = [line for line in next(iter(BLOCKS.values())).splitlines() if line.strip()]
    assert len(code) <= 10


@pytest.mark.parametrize("name", resilience.__all__)
def test_everything_that_the_package_offers_is_on_the_page(name: str) -> None:
    if name == "BreakerSnapshot":  # never made by a user; its fields are those that a block prints
        name = "snapshot"
    assert re.search(rf"\b{name}\b", TEXT)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, argument)
        for name in resilience.__all__
        if name[0].isupper() and name not in ("BreakerSnapshot", "CircuitState", "Transition")
        for argument in inspect.signature(getattr(resilience, name)).parameters
    ],
)
def test_every_argument_of_every_part_is_on_the_page(name: str, argument: str) -> None:
    assert re.search(rf"\b{argument}\b", TEXT)


def test_every_state_and_every_error_is_on_the_page() -> None:
    raised = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.ResilienceError | errors.PolicyError)
    ]
    for name in [*raised, *resilience.CircuitState.__members__]:
        assert re.search(rf"\b{name}\b", TEXT), name


def test_the_table_of_settings_tells_the_defaults() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", TEXT.split("### ")[0], flags=re.MULTILINE))
    assert told == {field.name: repr(field.default) for field in dataclasses.fields(BreakerSettings)}

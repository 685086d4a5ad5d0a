"""`holdfast run --metrics`, scraped while real workers restore and work."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.application import Application
from tests.support.command import holdfast
from tests.support.events import Added

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

Make = Callable[..., Application]

KEYS = 3000


def scrape(url: str) -> dict[str, float]:
    """The sums of all samples, by name."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def test_a_restore_and_the_work_after_it_can_be_watched(application: Make) -> None:
    """A worker without local state reads its changelog, and then what was published since."""
    app = application()
    app.publish(*(Added(key=f"k{n}", n=n) for n in range(KEYS)))
    with app.run() as run:
        run.until_drained()
    shutil.rmtree(app.home)
    app.publish(*(Added(key=f"k{n}", n=n) for n in range(50)))
    command = [sys.executable, "-m", "holdfast", "run", "--metrics", "0", "--bootstrap-servers", app.servers]
    environment = {**os.environ, "HOLDFAST_HOME": str(app.home), "COLUMNS": "200"}
    with subprocess.Popen(command, cwd=app.folder, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stderr is not None
        try:
            told = re.match(r"metrics at (http://127\.0\.0\.1:\d+/metrics)\n", run.stderr.readline())
            assert told
            seen, deadline = scrape(told[1]), time.monotonic() + 60
            while seen.get("holdfast_records_total") != 50:
                assert time.monotonic() < deadline, seen
                time.sleep(0.1)
                seen = scrape(told[1])
            assert seen["holdfast_worker_up"] == 1
            assert seen["holdfast_restored_records_total"] == KEYS
            assert seen["holdfast_restore_remaining_records"] == 0
            assert seen["holdfast_shards"] == 4
        finally:
            run.send_signal(signal.SIGINT)
            run.stderr.read()
    assert run.returncode == 0


def test_an_address_that_cannot_be_served_is_an_error_before_anything_starts(application: Make) -> None:
    """Without a traceback."""
    app = application()
    done = holdfast(
        "run", "--metrics", "here", "--bootstrap-servers", app.servers, folder=app.folder, timeout=30
    )
    assert done.returncode == 1
    assert "metrics cannot be served at 'here': give a port, or HOST:PORT" in done.stderr
    assert "Traceback" not in done.stderr

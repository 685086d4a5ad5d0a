"""A new version of a processor beside the one that runs: a shadow until it is made live, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.kafka.positions import Role
from tests.support.application import COUNTER, FOLD, Application
from tests.support.events import Added
from tests.support.fold import assert_exactly_once
from tests.support.load import Load
from tests.support.versions import (
    another_version,
    drain,
    outputs,
    prepare,
    shadow_outputs,
    stands,
    switch,
    table,
)

pytestmark = pytest.mark.integration

RECORDS = 200


@pytest.fixture
def app(application: Callable[..., Application]) -> Application:
    """Give an application that has handled its records and was stopped; its processor has no version."""
    made = application()
    made.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(made)
    return made


def test_a_shadow_beside_a_running_version_leaves_it_untouched(app: Application, tmp_path: Path) -> None:
    """Under load: same tables, same outputs on topics of its own, and nothing of it on the live one."""
    v2 = another_version(app, tmp_path, "v2")
    with app.run() as run:
        run.until_running()
        with Load(app, rate=500):
            done = prepare(v2)
            assert done.returncode == 0, done.stderr
            assert set(table(v2)) == set()
            with v2.run() as beside:
                beside.until(lambda: beside.views[0].records > RECORDS, 40, "records beyond the first")
                run.let_run(1.0)
        run.until_drained()
        assert [(view.restarts, view.error) for view in run.views] == [(0, "")]
    drain(v2)
    assert assert_exactly_once(app) > RECORDS
    assert {it.role for it in stands(app).values()} == {Role.LIVE}
    assert {it.role for it in stands(v2).values()} == {Role.SHADOW}
    assert table(v2) == table(app)
    assert shadow_outputs(v2) == outputs(app)


def test_there_and_back_every_output_is_written_once(app: Application, tmp_path: Path) -> None:
    """By the one version up to where it stood, by the other from there."""
    v2 = another_version(app, tmp_path, "v2")
    assert prepare(v2).returncode == 0
    drain(v2)
    for n, (to, live, retired) in enumerate([("v2", v2, app), ("unversioned", app, v2), ("v2", v2, app)]):
        done = switch(v2, to)
        assert done.returncode == 0, done.stderr
        assert {it.role for it in stands(live).values()} == {Role.LIVE}
        assert {it.role for it in stands(retired).values()} == {Role.RETIRED}
        app.publish(*(Added(key=f"key-{m % 17}", n=m) for m in range(50)))
        drain(live)
        assert assert_exactly_once(app) == RECORDS + 50 * (n + 1)
    assert sum(map(len, shadow_outputs(v2).values())) == RECORDS

"""The gateway over HTTP, as a process: what each fault does to an answer, and what a kill leaves."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.gateway import GatewayProcess, gateway_process

BODY = {"order_id": "o-1", "customer_id": "anna", "amount": "12.50"}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One gateway for the tests of this file."""
    with gateway_process(tmp_path_factory.mktemp("gateway") / "journal") as gateway:
        yield gateway


@pytest.fixture
def gateway(process: GatewayProcess) -> GatewayProcess:
    """The gateway with nothing wrong with it."""
    process.heal()
    return process


class Asked:
    """A call of the gateway and what came of it.

    Attributes:
        status, headers, content: of the answer.
    """

    def __init__(self, gateway: GatewayProcess, key: str | None, body: Any = BODY, path: str = "/charges"):
        headers = {"Idempotency-Key": key} if key else {}
        with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=1)) as connection:
            connection.request("POST", path, json.dumps(body), headers)
            with connection.getresponse() as answer:
                self.status, self.headers, self.content = answer.status, answer.headers, answer.read()

    def json(self) -> Any:
        """The answer's body."""
        return json.loads(self.content)


def test_a_charge_is_answered_and_a_repetition_too(gateway: GatewayProcess) -> None:
    """A header tells them apart."""
    first, again = Asked(gateway, "a-0"), Asked(gateway, "a-0")
    assert first.status == again.status == 201
    assert first.json() == again.json() == {"id": first.json()["id"], "status": "charged", **BODY}
    assert (first.headers["Idempotent-Replayed"], again.headers["Idempotent-Replayed"]) == (None, "true")


@pytest.mark.parametrize(
    ("key", "body", "path", "status"),
    [
        (None, BODY, "/charges", 400),
        ("b-1", {"order_id": "o-1"}, "/charges", 400),
        ("b-1", {**BODY, "amount": "-1"}, "/charges", 400),
        ("a-1", {**BODY, "amount": "13.00"}, "/charges", 422),
        ("b-2", {**BODY, "order_id": "none"}, "/refunds", 409),
        ("b-3", BODY, "/payments", 404),
    ],
)
def test_what_is_no_payment_is_refused(
    gateway: GatewayProcess, key: str | None, body: Any, path: str, status: int
) -> None:
    """Without a key, without an amount, under the key of another, of nothing that was charged."""
    Asked(gateway, "a-1")
    assert Asked(gateway, key, body, path).status == status


def test_errors_and_pauses_have_their_status(gateway: GatewayProcess) -> None:
    """A throttled call is never done."""
    gateway.fail({"kind": "error", "status": 502})
    assert Asked(gateway, "c-1").status == 502
    gateway.fail({"kind": "throttle", "seconds": 2})
    throttled = Asked(gateway, "c-2")
    assert (throttled.status, throttled.headers["Retry-After"]) == (429, "2")
    assert [entry.outcome for entry in gateway.audit() if entry.key == "c-2"] == ["failed"]


def test_an_answer_that_is_lost_was_charged_for(gateway: GatewayProcess) -> None:
    """Silence, a connection that is closed after the headers, and one in the middle of the body."""
    for kind, error in (
        ("hang", TimeoutError),
        ("cut-after-headers", http.client.IncompleteRead),
        ("cut-in-body", http.client.IncompleteRead),
    ):
        gateway.fail({"kind": kind, "done": 1})
        with pytest.raises(error):
            Asked(gateway, f"d-{kind}")
        assert [entry.outcome for entry in gateway.audit() if entry.key == f"d-{kind}"] == ["charged"]
        gateway.heal()
        assert Asked(gateway, f"d-{kind}").headers["Idempotent-Replayed"] == "true"


def test_wrong_answers_look_like_right_ones(gateway: GatewayProcess) -> None:
    """Their status says that it was done."""
    found = {}
    for kind in ("malformed", "wrong-schema", "other-order", "other-amount"):
        gateway.fail({"kind": kind})
        found[kind] = Asked(gateway, f"e-{kind}")
    assert {each.status for each in found.values()} == {201}
    with pytest.raises(ValueError, match="delimiter"):
        found["malformed"].json()
    assert found["wrong-schema"].json() == {"result": "ok"}
    assert found["other-order"].json()["order_id"] == "o-1-other"
    assert found["other-amount"].json()["amount"] == "13.50"


def test_faults_hit_their_share_and_are_counted(gateway: GatewayProcess) -> None:
    """The rest is answered as ever; of those that are hit some are done all the same."""
    before = gateway.faults()["error"]
    gateway.fail({"kind": "error", "rate": 0.5, "done": 0.5})
    statuses = [Asked(gateway, f"f-{n}").status for n in range(60)]
    assert 10 < statuses.count(503) < 50
    assert gateway.faults()["error"] - before == statuses.count(503)
    hit = {entry.outcome for entry in gateway.audit() if entry.key.startswith("f-") and entry.fault}
    assert hit == {"charged", "failed"}


def test_a_gateway_that_is_killed_charges_nobody_again(gateway: GatewayProcess) -> None:
    """What it has charged is in its journal before it says so."""
    assert Asked(gateway, "g-1").status == 201
    gateway.kill()
    gateway.start()
    assert Asked(gateway, "g-1").headers["Idempotent-Replayed"] == "true"
    assert [entry.outcome for entry in gateway.audit() if entry.key == "g-1"] == ["charged", "repeated"]

"""Client properties: ours, the user's, and the ones that nobody may change."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import Producer

from holdfast.errors import SettingError
from holdfast.kafka.settings import admin_config, client_log, consumer_config, producer_config

SERVERS = "localhost:9092"


def test_a_producer_is_idempotent_and_waits_for_all_replicas() -> None:
    """What every guarantee about published events rests on."""
    config = producer_config(SERVERS)
    assert config["enable.idempotence"] is True
    assert config["acks"] == "all"
    assert config["partitioner"] == "murmur2_random"
    assert "transactional.id" not in config


def test_a_transactional_producer_has_its_id() -> None:
    """The id comes from the worker's slot, not from the user."""
    assert producer_config(SERVERS, transactional_id="shop.p.0")["transactional.id"] == "shop.p.0"


def test_no_record_of_a_transactional_producer_outlives_its_transaction() -> None:
    """Whatever the user says: the client refuses to begin with other values."""
    times = {"transaction.timeout.ms", "delivery.timeout.ms"}
    users = {"message.timeout.ms": 60_000, "transaction.timeout.ms": 60_000}
    usual = producer_config(SERVERS, users, transactional_id="shop.p.0")
    assert {name: usual[name] for name in times} == dict.fromkeys(times, 10_000)
    short = producer_config(SERVERS, transactional_id="shop.p.0", transaction_ms=4_000)
    assert {name: short[name] for name in times} == dict.fromkeys(times, 4_000)


def test_a_consumer_reads_committed_records_and_commits_nothing() -> None:
    """Positions are committed with the results."""
    config = consumer_config(SERVERS, "shop.p")
    assert config["isolation.level"] == "read_committed"
    assert config["enable.auto.commit"] is False
    assert config["enable.auto.offset.store"] is False


def test_the_users_properties_win_over_defaults() -> None:
    """Also under the other name that librdkafka knows for a property."""
    config = producer_config(SERVERS, {"queue.buffering.max.ms": 3, "compression.type": "zstd"})
    assert config["linger.ms"] == 3
    assert "queue.buffering.max.ms" not in config
    assert config["compression.type"] == "zstd"


def test_no_client_lets_brokers_create_what_it_asks_about() -> None:
    """An admin client is a producer to librdkafka, and by default a producer's questions create topics."""
    admin, writer = admin_config(SERVERS), producer_config(SERVERS, transactional_id="shop.p.0")
    for config in (admin, writer, producer_config(SERVERS), consumer_config(SERVERS, "g")):
        assert config["allow.auto.create.topics"] is False


def test_the_chosen_brokers_win_over_the_users_property() -> None:
    """The command line has decided already which brokers it is."""
    assert admin_config(SERVERS, {"bootstrap.servers": "other:1"})["bootstrap.servers"] == SERVERS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acks", 1),
        ("acks", "0"),
        ("request.required.acks", "1"),
        ("enable.idempotence", False),
        ("partitioner", "random"),
        ("enable.auto.commit", True),
        ("isolation.level", "read_uncommitted"),
        ("transactional.id", "mine"),
        ("group.id", "mine"),
        ("session.timeout.ms", 45_000),
        ("allow.auto.create.topics", "true"),
        ("on_delivery", print),
    ],
)
def test_a_property_that_breaks_a_guarantee_is_refused_by_name(name: str, value: object) -> None:
    """For every kind of client, as one section of the topology serves them all."""
    for make in (producer_config, admin_config, lambda s, p: consumer_config(s, "g", p)):
        with pytest.raises(SettingError, match=rf"kafka property {name}: .*is not possible: .*Remove it"):
            make(SERVERS, {name: value})  # type: ignore[operator]


def test_all_refused_properties_are_reported_at_once() -> None:
    """One run tells everything."""
    with pytest.raises(SettingError) as caught:
        producer_config(SERVERS, {"acks": 1, "partitioner": "random", "linger.ms": 5})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(("name", "value"), [("acks", "all"), ("acks", -1), ("enable.idempotence", True)])
def test_our_own_values_may_be_written_out(name: str, value: object) -> None:
    """A property file made for another client need not be cut down."""
    assert producer_config(SERVERS, {name: value})["acks"] == "all"


def test_client_log_lines_do_not_go_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """Without logging set up, not even an error line is printed; with it, it is there."""
    assert producer_config(SERVERS)["logger"] is client_log
    assert client_log.isEnabledFor(logging.ERROR)
    client_log.error("lost the broker")
    assert capfd.readouterr().err == ""


def test_the_clients_lines_about_one_broker_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    """Whichever client says it, and however long it took; another broker or fault is told at once."""
    refused = "[thrd:127.0.0.1:{0}/{1}]: 127.0.0.1:{0}/{1}: Connect to ipv4#127.0.0.1:{0} failed: {2}"
    for n in range(600):
        text = refused.format(7901, n % 3, f"Connection refused (after {n}ms in state CONNECT)")
        client_log.error("%s [%s] %s", "FAIL", f"shop.p.0#producer-{n % 5}", text)
    coordinator = "[thrd:GroupCoordinator]: GroupCoordinator: 127.0.0.1:7901: Connect to ipv4#127.0.0.1:7901 "
    client_log.error(
        "%s [%s] %s", "FAIL", "x#consumer-1", coordinator + "failed: Connection refused (after 0ms)"
    )
    bootstrap = "[thrd:[::1]:7903/bootstrap]: [::1]:7903/bootstrap: Connect to ipv6#[::1]:7903 failed: No"
    for _ in range(2):
        client_log.error("%s [%s] %s", "FAIL", "x#consumer-1", bootstrap)
    client_log.error("%s [%s] %s", "FAIL", "x#consumer-1", refused.format(7902, 1, "Connection refused"))
    client_log.error("%s [%s] %s", "FAIL", "x#consumer-1", refused.format(7901, 1, "No route to host"))
    client_log.error("a line of another shape")
    assert len(caplog.messages) == 5, caplog.messages


@pytest.mark.parametrize("transaction_ms", [1_000, 3_500, 10_000, 60_000])
def test_a_producer_with_transactions_of_any_length_can_be_made(transaction_ms: int) -> None:
    """The client refuses a socket timeout that is longer than its transactions."""
    config = producer_config("localhost:1", transactional_id="one", transaction_ms=transaction_ms)
    Producer({**config, "log_level": 0})

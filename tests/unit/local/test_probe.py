from __future__ import annotations

import time

import pytest

from holdfast.errors import BrokersUnreachable, SettingError
from holdfast.kafka.probe import UNREACHABLE_AFTER_S, require_brokers, wait_until_ready


def test_an_address_without_a_broker_is_reported_in_time() -> None:
    """The message names the address, the reason and what to do, within the time that was given."""
    began = time.monotonic()
    with pytest.raises(BrokersUnreachable, match=r"127\.0\.0\.1:9 within 1 s.*refused.*holdfast up"):
        require_brokers("127.0.0.1:9", timeout=1)
    assert time.monotonic() - began < 3


def test_the_default_patience_ends_before_ten_seconds() -> None:
    """A command must have said what is wrong within 10 s, its own start included."""
    assert UNREACHABLE_AFTER_S < 9


def test_a_property_that_the_client_does_not_know_is_a_setting_error() -> None:
    """It is the user's mistake, not the broker's."""
    with pytest.raises(SettingError, match=r"no\.such\.property"):
        require_brokers("127.0.0.1:9", {"no.such.property": 1}, timeout=1)


def test_what_is_raised_while_waiting_ends_the_wait() -> None:
    """A start that sees its broker die does not wait for the rest of the time."""

    def broker_died() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        wait_until_ready("127.0.0.1:9", brokers=1, timeout=60, on_wait=broker_died)

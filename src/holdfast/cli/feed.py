"""Publishes what an application's declared producers yield; shared by `produce` and `demo`."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
import yaml

from holdfast.declaration.source import did_you_mean
from holdfast.errors import HoldfastError
from holdfast.kafka.producer import Producer
from holdfast.runtime.sources import Arguments, events_of, failure, fitted, is_typed, missing, parameters_of
from holdfast.topology import ResolvedProducer, Topology

SetOption = typer.Option(
    None,
    "--set",
    metavar="[PRODUCER.]NAME=VALUE",
    help="An argument of the producers, such as --set count=500; may be repeated.",
)


def parse_arguments(given: Iterable[str], producers: Mapping[str, ResolvedProducer]) -> Arguments:
    """Sort `name=value` pairs to the producers that take such an argument.

    Values are read as in YAML, and converted to what the parameter's annotation says.

    Raises:
        typer.BadParameter: no producer takes an argument of that name, the value does not fit, the text
            is not a pair, or an argument without a default is not given.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in producers}
    takes = {name: parameters_of(producer) for name, producer in producers.items()}
    for text in given:
        target, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is no NAME=VALUE.")
        only, _, argument = target.strip().rpartition(".")
        chosen = [name for name in producers if only in ("", name) and argument in takes[name]]
        if not chosen:
            known = sorted({each for names in takes.values() for each in names})
            raise typer.BadParameter(
                f"no producer takes {target!r}{did_you_mean(argument, known)} (arguments: {', '.join(known)})"
            )
        for name in chosen:
            found[name][argument] = _value(text, value, name, takes[name][argument])
    for name, parameters in takes.items():
        for argument in missing(parameters, found[name]):
            raise typer.BadParameter(f"producer {name} needs {argument}; give it with --set {argument}=VALUE")
    return found


def _value(text: str, value: str, producer: str, parameter: inspect.Parameter) -> Any:
    """Return the value for a parameter; as text where YAML's reading of it does not fit (`sku=007`)."""
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        if not is_typed(parameter):
            raise typer.BadParameter(f"{text!r} cannot be read as YAML; put the value in quotes") from error
        read = value
    try:
        return fitted(parameter, read, value)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: producer {producer} {error}") from None


class Feed(threading.Thread):
    """Publishes everything that producers yield, one producer after the other, in a thread of its own.

    Attributes:
        published: events handed to the client so far.
        seconds: how long it took, once it is finished; brokers have acknowledged everything then.
        error: why it ended before its time; read it after the thread has ended.
    """

    def __init__(
        self,
        topology: Topology,
        producers: Sequence[ResolvedProducer],
        arguments: Arguments,
        bootstrap_servers: str,
    ) -> None:
        super().__init__(name="feed", daemon=True)
        self._topology = topology
        self._producers = producers
        self._arguments = arguments
        self._servers = bootstrap_servers
        self._stopping = threading.Event()
        self.published = 0
        self.seconds = 0.0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Publish; called by `start`."""
        began = time.monotonic()
        try:
            for producer in self._producers:
                self._publish(producer)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for us
            self.error = error
        self.seconds = time.monotonic() - began

    def end(self, timeout: float = 15.0) -> None:
        """Stop after the present event, and wait until what was published is acknowledged."""
        self._stopping.set()
        if self.is_alive():
            self.join(timeout)

    def raise_error(self) -> None:
        """Raise what ended the feed, if anything did.

        Raises:
            HoldfastError: an event was refused or not delivered.
            PublishError: the producer's own code failed.
        """
        if isinstance(self.error, HoldfastError):
            raise self.error
        if self.error is not None:
            raise failure(self.error) from self.error

    def _publish(self, declared: ResolvedProducer) -> None:
        arguments = self._arguments.get(declared.decl.name, {})
        with Producer.for_topics(
            declared.writes, self._servers, source=self._topology.app, properties=self._topology.kafka
        ) as client:
            client.check()
            for event, topic in events_of(declared, arguments):
                if self._stopping.is_set():
                    return
                client.publish(event, topic)
                self.published += 1

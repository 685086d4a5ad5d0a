"""Publishes what an application's declared producers yield; shared by `produce` and `demo`."""

from __future__ import annotations

import inspect
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
import yaml

from holdfast.engine.handler import To
from holdfast.errors import HoldfastError, PublishError
from holdfast.kafka.producer import Producer
from holdfast.topology import ResolvedProducer, Topology
from holdfast.topology.source import did_you_mean

SetOption = typer.Option(
    None,
    "--set",
    metavar="[PRODUCER.]NAME=VALUE",
    help="An argument of the producers, such as --set count=500; may be repeated.",
)

Arguments = Mapping[str, Mapping[str, Any]]
"""Keyword arguments of each producer."""


def parse_arguments(given: Iterable[str], producers: Mapping[str, ResolvedProducer]) -> Arguments:
    """Sort `name=value` pairs to the producers that take such an argument; values are read as in YAML.

    Raises:
        typer.BadParameter: no producer takes an argument of that name, or the text is not a pair.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in producers}
    takes = {name: _parameters(producer) for name, producer in producers.items()}
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
            found[name][argument] = yaml.safe_load(value)
    return found


def _parameters(producer: ResolvedProducer) -> frozenset[str]:
    return frozenset(inspect.signature(producer.source).parameters)


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
            place = traceback.extract_tb(self.error.__traceback__)[-1]
            raise PublishError(
                f"a producer of the application raised {self.error!r} at {place.filename}:{place.lineno}"
            ) from self.error

    def _publish(self, declared: ResolvedProducer) -> None:
        arguments = self._arguments.get(declared.decl.name, {})
        with Producer.for_topics(
            declared.writes, self._servers, source=self._topology.app, properties=self._topology.kafka
        ) as client:
            client.check()
            for event in declared.source(**arguments):
                if self._stopping.is_set():
                    return
                if isinstance(event, To):
                    client.publish(event.event, event.topic)
                else:
                    client.publish(event)
                self.published += 1

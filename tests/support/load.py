"""A steady load of events from a thread of its own."""

from __future__ import annotations

import random
import threading
from types import TracebackType
from typing import Self

from holdfast.schema import Event
from tests.support.application import Application
from tests.support.events import Added, Taken


class Load:
    """Publishes to every input of an application while its block lasts.

    Args:
        application: where to.
        rate: events per second.
        keys: how many different keys.
        seed: of the choice of keys and numbers.
        tick: seconds from one burst of events to the next.
    """

    def __init__(
        self, application: Application, rate: int = 1500, keys: int = 40, seed: int = 1, tick: float = 0.02
    ) -> None:
        self._application = application
        self._tick = tick
        self._each = max(1, int(rate * tick))
        self._rng = random.Random(seed)
        self._keys = [f"k{i}" for i in range(keys)]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._error: BaseException | None = None
        self.published = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _publish(self) -> None:
        try:
            with self._application.producer() as producer:
                while not self._end.wait(self._tick):
                    for _ in range(self._each):
                        producer.publish(self._event())
                        self.published += 1
        except BaseException as error:  # noqa: BLE001 - raised again where the block ends
            self._error = error

    def _event(self) -> Event:
        kinds = [kind for each in self._application.inputs.values() for kind in each]
        kind = self._rng.choice(kinds)
        key, n = self._rng.choice(self._keys), self._rng.randint(1, 9)
        return Taken(key=key, n=n) if kind is Taken else Added(key=key, n=n)

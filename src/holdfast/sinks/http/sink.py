"""The HTTP sink: each call once, in the order of its record's key."""

from __future__ import annotations

import time
from collections.abc import Sequence

from holdfast.errors import HandlerError, SinkRefused
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.sinks.http.calls import HttpCall
from holdfast.sinks.http.service import HttpService, HttpSettings
from holdfast.sinks.identity import identity_of
from holdfast.sinks.keyed import KeyedWork, NotDone, RecordWrites
from holdfast.sinks.progress import Progress
from holdfast.sinks.stopping import StoppedError


class HttpSink(Sink):
    """Calls a service with what the handler returns, many records at once.

    Kafka and the service have no transaction in common, so a call may be made again: after a crash, or when
    the first answer was lost. It has the same `Idempotency-Key` then. What this process has made already is
    not made again.

    Args:
        settings: how the service is called.
        batch_s: seconds after which no more calls of a batch are begun.
    """

    accepts = (HttpCall,)
    can_stop = True

    def __init__(self, settings: HttpSettings, batch_s: float) -> None:
        # A record's calls are made one after the other, so none is refused beside its probe; and what else a
        # batch makes has to end in time.
        self._service = HttpService(settings, waits_for_probes=False)
        self.breaker = self._service.breaker
        self._settings = settings
        self._batch_s = batch_s
        self._work: KeyedWork[Refusal | None] = KeyedWork(settings.name, settings.concurrent, batch_s)
        self._made: Progress[int] = Progress()

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        """Make the calls of a batch; see `Sink.write`."""
        until = time.monotonic() + self._batch_s
        self._made.begin(batch)

        async def call(record: RecordWrites) -> Refusal | None:
            refusal = await self._call(record, identity_of(batch, record.message), until)
            if refusal is not None and batch.stops_at_refusal:
                # Later records of its key are not called for; those of others may have been.
                raise StoppedError([refusal])
            return refusal

        try:
            return [refusal for refusal in self._work.run(batch, call) if refusal is not None]
        except StoppedError as stopped:
            return stopped.refusals

    async def _call(self, record: RecordWrites, identity: str, until: float) -> Refusal | None:
        """Make the calls of a record, those that were not made when it came before.

        Raises:
            NotDone: it has more than there is time for.
        """
        before = self._made.result(record.position) if self._made.has(record.position) else 0
        client = self._service.client_for(identity, before)
        for number, write in enumerate(record.writes[before:], before):
            # One at least, or it would never end.
            if number > before and time.monotonic() > until:
                raise NotDone
            call: HttpCall = write.value
            try:
                answer = await client.send(call)
            except HandlerError as error:
                return Refusal(record.position, SinkRefused(str(error)))
            if not answer.is_success:
                text = f"sink {self._settings.name!r}: {call} was answered with {answer}"
                return Refusal(record.position, SinkRefused(text))
            if number + 1 < len(record.writes):
                self._made.note({record.position: number + 1})
        return None

    def close(self) -> None:
        """Let go of connections and thread."""
        self._work.close(self._service.close())

"""The HTTP sink: each call once, in the order of its record's key."""

from __future__ import annotations

import time
from collections.abc import Sequence

from holdfast.errors import HandlerError, SinkDown, SinkRefused
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.sinks.http.calls import HttpCall
from holdfast.sinks.http.service import HttpService, HttpSettings
from holdfast.sinks.identity import identity_of
from holdfast.sinks.keyed import RecordWrites, by_record, work_by_key
from holdfast.sinks.loop import LoopThread
from holdfast.sinks.progress import Progress


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

    def __init__(self, settings: HttpSettings, batch_s: float) -> None:
        self._service = HttpService(settings)
        self.breaker = self._service.breaker
        self._settings = settings
        self._batch_s = batch_s
        self._loop = LoopThread(f"sink-{settings.name}")
        self._progress: Progress[Refusal | None] = Progress()

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        """Make the calls of a batch; see `Sink.write`."""
        self._progress.begin(batch)
        records = by_record(batch.writes)
        left = [record for record in records if not self._progress.has(record.position)]

        async def call(record: RecordWrites) -> Refusal | None:
            return await self._call(record, identity_of(batch, record.position))

        worked = self._loop.run(
            work_by_key(
                left,
                call,
                concurrent=self._settings.concurrent,
                until=time.monotonic() + self._batch_s,
            )
        )
        self._progress.note(worked.results)
        if worked.error is not None:
            raise worked.error
        if len(worked.results) < len(left):
            raise SinkDown(
                f"sink {self._settings.name!r} made {len(worked.results):,} of {len(left):,} calls within "
                f"{self._batch_s:g} s; the others follow in smaller batches",
                0.0,
            )
        done = (self._progress.result(record.position) for record in records)
        return [refusal for refusal in done if refusal is not None]

    async def _call(self, record: RecordWrites, identity: str) -> Refusal | None:
        client = self._service.client_for(identity)
        for write in record.writes:
            call: HttpCall = write.value
            try:
                answer = await client.send(call)
            except HandlerError as error:
                return Refusal(record.position, SinkRefused(str(error)))
            if not answer.is_success:
                text = f"sink {self._settings.name!r}: {call} was answered with {answer}"
                return Refusal(record.position, SinkRefused(text))
        return None

    def close(self) -> None:
        """Let go of connections and thread."""
        self._loop.run(self._service.close())
        self._loop.close()

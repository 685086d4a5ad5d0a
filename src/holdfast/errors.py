"""The one error tree of Holdfast.

A leaf module: it imports nothing of the package. Client errors are mapped to
this tree once, in ``holdfast.kafka``. Every message says what is wrong, where
(file, line, topic, partition, offset), and what to do about it.

    HoldfastError
    ├── TopologyError              the declaration cannot be used
    │   ├── TopologyErrors         several of them, one report
    │   └── ClusterMismatch        the cluster differs from the declaration
    ├── SchemaError                an event class is declared wrongly
    ├── DecodeError                a record cannot be turned into an event
    │   ├── NotJson
    │   ├── EmptyRecord
    │   ├── UnknownType
    │   ├── NewerVersion
    │   ├── UnexpectedTombstone
    │   └── InvalidEvent
    ├── PublishError               an event was not accepted or not delivered
    │   └── EventRefused           this event cannot be published; others can
    ├── HandlerError               the user's handler raised or answered wrongly
    │   ├── UndeclaredOutput       it emitted what the topology does not allow
    │   ├── MissingKey             it used state for a record that has no key
    │   ├── TooManySetAside        so many records failed that their shard stops instead
    │   ├── KeyParked              an earlier record of the key waits among the dead letters
    │   ├── StoppedBySink          the sink refuses what was made of a record, and its shard has to stop
    │   └── RecordFailed           it failed on the way to its commit, and its shard has to stop
    ├── ClusterError               brokers or the embedded cluster
    │   ├── BrokersUnreachable
    │   ├── TopicRefused           the brokers will not create a topic as declared
    │   ├── OutputRefused          the brokers do not take what came of a record
    │   │   └── LetterRefused      nor the dead letter that was to set it aside
    │   ├── SettingError           a client property is unknown or would break a guarantee
    │   ├── EmbeddedClusterError   the local brokers cannot be started or stopped
    │   ├── ContainerError         containers, or their images, cannot be made or changed
    │   │   └── EngineMissing      there is no Docker engine to ask for them
    │   └── Fenced                 a newer owner of the same slot took over
    ├── StateError                 the local store or its changelog
    │   ├── StoreError             the local store cannot be read or written now
    │   │   └── CorruptStore       its folder is damaged; it is rebuilt
    │   └── NoSuchKey              a table holds nothing under the key that was asked for
    ├── LettersRefused             dead letters that cannot be redriven or discarded as it was asked
    ├── ReplayRefused              a replay that would skip records, or give a state that looks right
    ├── VersionRefused             a version of a processor that must not work
    ├── SlotTaken                  another process works in the same slot
    ├── PolicyError                a protection of calls is set in a way that cannot work
    ├── ResilienceError            a protected call has no answer
    │   ├── CallRefused            it was not made
    │   │   ├── CircuitOpen
    │   │   ├── BulkheadFull
    │   │   └── RateLimited
    │   └── CallTimeout            it took too long and was given up
    ├── SinkError                  a downstream system cannot be written to as it is declared
    │   ├── SinkDown               it does not answer: its inputs wait, and it is tried again
    │   │   └── SinkSlow           it did a part in its time: the rest comes in smaller batches
    │   ├── SinkRefused            it refuses a write for what is in it
    │   ├── SinkFenced             a newer owner of a shard has written to it
    │   ├── SinkBehind             it has lost what it had taken: those records are handled again
    │   └── SinkStuck              it does not return from a call: only a new process can begin anew
    ├── ChaosError                 the chaos lab cannot do what it was asked for
    │   ├── ExperimentErrors       an experiment holds mistakes; all of them, one report
    │   ├── NotFairGame            a cluster is not marked as one that may be loaded
    │   ├── FaultFailed            a fault did not happen, or cannot be undone
    │   │   └── NothingMet         it was there and is over, and nobody has suffered from it
    │   └── HistoryError           the history of a run cannot be written, sealed, read or checked
    ├── MetricsError               metrics cannot be served where they were asked for
    └── WorkerError                a worker process cannot go on
"""

from __future__ import annotations

import copyreg
from collections.abc import Mapping


class HoldfastError(Exception):
    """Root of every error that Holdfast raises on purpose.

    Its text is written for the user and is printed without a traceback.
    """

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own calls the class with the text alone: whoever pickled it (a pool of processes) would
        # get a TypeError in its place.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined] # typeshed


class TopologyError(HoldfastError):
    """The declaration (``topology.yaml`` or what it names) cannot be used."""


class TopologyErrors(TopologyError):
    """Every problem found in a topology, in the order of the file.

    Attributes:
        problems: one line of text for each problem, with file and line.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ClusterMismatch(TopologyError):
    """The cluster holds something that differs from the declaration."""


class SchemaError(HoldfastError):
    """An event class is declared in a way that cannot work."""


class DecodeError(HoldfastError):
    """A record's bytes cannot be turned into an event."""


class NotJson(DecodeError):
    """The value is not valid JSON."""


class EmptyRecord(DecodeError):
    """The value has no bytes (a null value is a tombstone, not an empty one)."""


class UnknownType(DecodeError):
    """The event type is not one that the topic declares."""


class NewerVersion(DecodeError):
    """The event was written by a newer version of its contract."""


class InvalidEvent(DecodeError):
    """The JSON does not fit the event's fields."""


class UnexpectedTombstone(DecodeError):
    """A tombstone came to a handler that does not accept any."""

    def __init__(self, handler: str) -> None:
        super().__init__(
            f"{handler} got a tombstone (null value) but accepts none; add `| Tombstone` to the annotation "
            "of its first parameter"
        )


class PublishError(HoldfastError):
    """An event was refused before sending, or was not delivered."""


class EventRefused(PublishError):
    """This event can never be published as it is: no topic, no key, too large, not JSON."""


class HandlerError(HoldfastError):
    """The user's handler raised, or answered with something unusable."""


class UndeclaredOutput(HandlerError):
    """A handler emitted an event that its processor does not declare."""


class KeyParked(HandlerError):
    """An earlier record of the same key was set aside, and this one has to wait behind it."""

    def __init__(self, first: str) -> None:
        super().__init__(f"its key is parked since {first} was set aside; it waits behind that")


class RecordFailed(HandlerError):
    """A record failed on the way to its commit, and is not to be set aside: its shard has to stop there.

    Its async handler raised, or its sink refused what was made of it.

    Attributes:
        position: the record, a `holdfast.record.Position`.
        cause: what was raised.
    """

    def __init__(self, position: tuple[str, int, int], cause: Exception) -> None:
        self.position = position
        self.cause = cause
        super().__init__(f"{position}: {cause}")


class StoppedBySink(HandlerError):
    """A sink refused what was made of a record, and `on_refused: stop` keeps the shard there."""

    def __init__(self, refusal: Exception) -> None:
        super().__init__(
            f"{str(refusal).rstrip('.')}. Mend the cause and start again; or declare "
            "`on_refused: dead-letter`, and the record is set aside"
        )


class MissingKey(HandlerError):
    """A handler used state for a record that has no key."""


class TooManySetAside(HandlerError):
    """So many records of a shard were set aside or dropped that it stops at the next one.

    Args:
        why: how many they were.
        cause: why the next one would be.
        also: how many others were set aside with that one: a sink takes, and refuses, whole batches.
    """

    def __init__(self, why: str, cause: str, also: int = 0) -> None:
        with_it = f" ({also:,} others of its batch are set aside as well)" if also else ""
        super().__init__(
            f"{why}, and here is one more{with_it}: {cause}. So many look like an outage or a new schema, "
            "rather than like bad records. When that is mended, start again; or allow more with "
            "`letter_limit`"
        )


class ClusterError(HoldfastError):
    """The brokers, or our connection to them."""


class BrokersUnreachable(ClusterError):
    """No broker answered in time."""


class SettingError(ClusterError):
    """A client property that librdkafka refuses, or that would break a guarantee of ours."""


class TopicRefused(ClusterError):
    """The brokers will not create a topic as it is declared, or not for this user."""


class OutputRefused(ClusterError):
    """The brokers do not take something that came of a record, for what it is: an output, a state change.

    Attributes:
        topic: what it was written to.
        said: the brokers' words.
        advice: what to do about it, as a sentence without its stop.
        is_time: whether they refuse its timestamp.
    """

    def __init__(self, topic: str, said: str, advice: str, *, is_time: bool) -> None:
        self.topic = topic
        self.said = said
        self.advice = advice
        self.is_time = is_time
        super().__init__(f"topic {topic!r} does not take what came of this record: {said}. {advice}")

    def stopping(self) -> OutputRefused:
        """The same, told where it stops a shard: there is another way."""
        advice = f"{self.advice}; or declare `on_error: dead-letter` to set such records aside"
        return OutputRefused(self.topic, self.said, advice, is_time=self.is_time)


class LetterRefused(OutputRefused):
    """The brokers do not take a record's dead letter: it cannot be set aside, so its shard has to stop."""

    def __init__(self, refused: OutputRefused) -> None:
        super().__init__(refused.topic, refused.said, refused.advice, is_time=refused.is_time)
        text = f"it is to be set aside, but topic {self.topic!r} does not take its dead letter: {self.said}"
        self.args = (f"{text}. {self.advice}",)


class TopicReplaced(ClusterError):
    """A topic was deleted and created again while a worker used it: what the worker knows of it is void."""


class EmbeddedClusterError(ClusterError):
    """The local brokers cannot be started, found or stopped."""


class JavaProgramError(HoldfastError):
    """A Java program of ours cannot be built or run here: a JDK, Maven or one of its libraries is missing."""


class ContainerError(ClusterError):
    """Brokers in containers, or their images, cannot be made, found or changed."""


class EngineMissing(ContainerError):
    """There is no Docker engine that this process could use."""


class Fenced(ClusterError):
    """Another process took over this worker's slot; this one must not write."""


class StateError(HoldfastError):
    """The local store, or the changelog that it is restored from."""


class StoreError(StateError):
    """The local store cannot be read or written now: no fault of a record, and it may pass."""


class CorruptStore(StoreError):
    """The folder of a local store is damaged."""


class NoSuchKey(StateError):
    """A table holds nothing under the key that was asked for."""


class PolicyError(HoldfastError):
    """A breaker, retry, bulkhead or another protection is set in a way that cannot work."""


class ResilienceError(HoldfastError):
    """A protected call has no answer."""


class CallRefused(ResilienceError):
    """A call was not made, so the downstream did not see it.

    Attributes:
        wait_s: after how many seconds it may be worth another try; infinite where only an order changes that.
    """

    def __init__(self, text: str, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(text)


class CircuitOpen(CallRefused):
    """The circuit breaker of a downstream lets no call pass now.

    Attributes:
        state: the name of the breaker's state.
    """

    def __init__(self, breaker: str, state: str, wait_s: float) -> None:
        self.state = state
        until = "until it is told otherwise" if wait_s == float("inf") else f"for another {wait_s:.3g} s"
        super().__init__(f"breaker {breaker} is {state}: it refuses calls {until}", wait_s)


class BulkheadFull(CallRefused):
    """As many calls as are allowed are under way, and as many as may wait for them wait."""


class RateLimited(CallRefused):
    """The call would have to wait longer for its turn than calls may."""


class CallTimeout(ResilienceError, TimeoutError):
    """A call took longer than it may, and was given up; whether the downstream did its work is unknown.

    What takes the timeout of a socket (`TimeoutError`, `OSError`) as a failure takes this, too.
    """


class SinkError(HoldfastError):
    """A downstream system cannot be written to as it is declared: a person has to change something."""


class SinkDown(SinkError):
    """A downstream system does not answer now; what is to be written waits for it.

    Attributes:
        wait_s: after how many seconds it is worth another try; None where nobody knows.
    """

    def __init__(self, text: str, wait_s: float | None = None) -> None:
        self.wait_s = wait_s
        super().__init__(text)


class SinkSlow(SinkDown):
    """A downstream system did a part of what it was given in its time: the rest comes in smaller batches.

    It is no outage, and no failure of a call.

    Attributes:
        done: records that it was done with.
    """

    def __init__(self, text: str, done: int) -> None:
        self.done = done
        super().__init__(text, 0.0)


class SinkRefused(SinkError):
    """A downstream system refuses a write for what is in it, whenever it is tried."""


class SinkFenced(SinkError):
    """A downstream system has been written to by a newer owner of a shard: this one must not write."""


class SinkBehind(SinkError):
    """A downstream system has lost what it had taken: what came after it is to be handled again.

    Attributes:
        positions: for each topic and partition that it is behind in, everything below which it has.
    """

    def __init__(self, text: str, positions: Mapping[tuple[str, int], int]) -> None:
        self.positions = dict(positions)
        super().__init__(text)


class SinkStuck(SinkError):
    """A sink does not return from a call, long after its timeout; only a new process can begin anew."""


class ChaosError(HoldfastError):
    """The chaos lab cannot do what it was asked for."""


class ExperimentErrors(ChaosError):
    """Every problem found in an experiment, in the order of the file.

    Attributes:
        problems: one line of text for each problem, with file and line.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class NotFairGame(ChaosError):
    """A cluster is not marked as one that experiments may load."""


class FaultFailed(ChaosError):
    """A fault did not happen although it was tried, or what it did cannot be undone."""


class NothingMet(FaultFailed):
    """A fault was there and is over, and nobody has suffered from it: it shows nothing."""


class HistoryError(ChaosError):
    """The history of a run cannot be written, sealed, read or checked."""


class MetricsError(HoldfastError):
    """Metrics cannot be served where they were asked for."""


class WorkerError(HoldfastError):
    """A worker cannot go on."""


class LettersRefused(HoldfastError):
    """Dead letters cannot be redriven or discarded as it was asked."""


class ReplayRefused(HoldfastError):
    """A replay, or a switch of versions, cannot be done as it was asked for; nothing was changed."""


class VersionRefused(HoldfastError):
    """A version of a processor must not work: another one is live."""


class SlotTaken(HoldfastError):
    """Another process on this machine works in the slot that was asked for."""

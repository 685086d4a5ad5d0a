"""The history of a chaos run: what each client tried and what came of it, recorded and then sealed."""

from holdfast.chaos.history.database import Bounds
from holdfast.chaos.history.model import Event, Isolation, Kind, Operation, Outcome, Step, fault, read, send
from holdfast.chaos.history.recorder import Invoked, Recorder, write_recording
from holdfast.chaos.history.sealed import History
from holdfast.chaos.history.sealing import seal

__all__ = [
    "Bounds",
    "Event",
    "History",
    "Invoked",
    "Isolation",
    "Kind",
    "Operation",
    "Outcome",
    "Recorder",
    "Step",
    "fault",
    "read",
    "seal",
    "send",
    "write_recording",
]

"""A processor of two inputs, whose outputs tell the state that each record met."""

from __future__ import annotations

from tests.support.application import Application
from tests.support.events import Added, Folded, Sum, Taken
from tests.support.versions import Rows, outputs, table

BOTH = """
from holdfast import Context, State, processor
from test_events import Added, Folded, Sum, Taken

@processor
def handle(event: Added | Taken, sums: State[Sum], at: Context) -> Folded:
    before = sums.get() or Sum()
    n = event.n if isinstance(event, Added) else -event.n
    now = Sum(count=before.count + 1, total=before.total + n)
    sums.set(now)
    return Folded(key=event.key, topic=at.topic, partition=at.partition, offset=at.offset,
                  n=n, count=now.count, total=now.total)
"""


def publish_both(app: Application) -> None:
    """Publish to both inputs, much more to one: the other is read to its end long before."""
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(200)))
    app.publish(*(Taken(key=f"key-{n % 17}", n=1) for n in range(2_000)))


def sums_of(app: Application) -> dict[bytes, Sum]:
    """The version's table `sums`."""
    return {key: Sum.model_validate_json(value) for key, value in table(app).items()}


def outputs_since(app: Application, written: Rows, sums: dict[bytes, Sum]) -> int:
    """How many outputs were added; each must go on from the whole state before it.

    Args:
        app: whose outputs.
        written: the outputs before.
        sums: the table before; brought up to date.
    """
    added = 0
    for partition, rows in outputs(app).items():
        old = written.get(partition, [])
        assert rows[: len(old)] == old
        for key, value in rows[len(old) :]:
            folded, before = Folded.model_validate_json(value or b""), sums[key or b""]
            now = sums[key or b""] = Sum(count=before.count + 1, total=before.total + folded.n)
            assert (folded.count, folded.total) == (now.count, now.total)
            added += 1
    return added

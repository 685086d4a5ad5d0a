"""An application with a native processor and a Faust agent, for tests of worker processes without brokers."""

from __future__ import annotations

from pathlib import Path

APPLICATION = """
import os, sys
from pathlib import Path
import faust
from holdfast import Event, processor

class Added(Event):
    key: str

@processor
def handle(event: Added) -> None:
    ...

app = faust.App("a.live", broker="kafka://" + os.environ.get("HOLDFAST_BOOTSTRAP_SERVERS", "localhost:1"))
topic = app.topic("adds", value_type=bytes)

@app.agent(topic)
async def watch(stream):
    async for value in stream:
        pass
"""

TOPOLOGY = """
app: a
topics: {adds: {event: "my_app:Added", key: key, partitions: 1}}
processors:
  native: {handler: "my_app:handle", reads: [adds]}
  live: {runtime: faust, agent: "my_app:app", reads: [adds]}
"""


def write_application(folder: Path, code: str = "") -> Path:
    """Write it, with code that its module ends with; returns the topology file."""
    (folder / "my_app.py").write_text(f"{APPLICATION}\n{code}\n")
    topology = folder / "topology.yaml"
    topology.write_text(TOPOLOGY)
    return topology

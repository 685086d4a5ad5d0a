"""Holdfast on both jobs: applies a topology, then becomes the worker that `holdfast run` would start."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.runners.common import Settings, parse_settings, say_hello
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.provision import provision
from holdfast.runtime.orders import WorkerOrders
from holdfast.topology.load import load

PROCESSOR = "bench"
HANDLERS = "benchmarks.runners.holdfast_handlers"


def topology(settings: Settings) -> dict[str, Any]:
    """The declaration of one job."""
    shape = {"key": "customer_id", "partitions": settings.partitions, "replication": settings.replication}
    topics = {settings.input: {"event": f"{HANDLERS}:Order"} | shape}
    processor: dict[str, Any] = {
        "reads": [settings.input],
        "commit_interval": f"{settings.commit_interval_ms}ms",
        "guarantee": settings.guarantee,
    }
    if settings.job == "totals":
        processor |= {"handler": f"{HANDLERS}:add", "tables": {"totals": f"{HANDLERS}:Total"}}
    else:
        topics[settings.output] = {"event": f"{HANDLERS}:EnrichedOrder"} | shape
        processor |= {"handler": f"{HANDLERS}:enrich", "writes": [settings.output]}
    return {"app": settings.app_id, "topics": topics, "processors": {PROCESSOR: processor}}


def run(settings: Settings) -> None:
    """Apply the topology, then replace this process by the worker."""
    file = Path(settings.state_dir) / "topology.yaml"
    file.write_text(yaml.safe_dump(topology(settings)))
    declared = load(file)
    provision(TopicAdmin(settings.bootstrap_servers, declared.kafka), declared)
    orders = WorkerOrders(
        topology=str(file),
        processor=PROCESSOR,
        slot="bench-0",
        folder=str(Path(settings.state_dir) / "state"),
        bootstrap_servers=settings.bootstrap_servers,
    )
    command = [sys.executable, "-m", "holdfast.runtime.process", orders.to_json()]
    # As the supervisor sets it for its workers.
    os.execve(sys.executable, command, os.environ | {"MALLOC_ARENA_MAX": "2"})


if __name__ == "__main__":
    say_hello("holdfast", "confluent-kafka", "pydantic", "rocksdict")
    run(parse_settings())

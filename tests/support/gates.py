"""Topologies with sinks, for gates to stand before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from holdfast.topology import Topology, load


def declared(folder: Path, **sinks: dict[str, Any]) -> Topology:
    """A topology with these sinks and nothing that uses them."""
    file = folder / "topology.yaml"
    topics = {"orders": {"event": "shop:Order", "key": "id", "partitions": 1}}
    file.write_text(yaml.safe_dump({"app": "shop", "topics": topics, "sinks": sinks}))
    return load(file)

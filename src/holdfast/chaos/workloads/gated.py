"""An application whose sinks stand behind gates: what its workers read, and how they are started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from holdfast.chaos.gates.gates import Gates
from holdfast.declaration.source import content_of, parse
from holdfast.errors import TopologyErrors
from holdfast.runtime.supervisor import WorkerSpec
from holdfast.topology import Topology, load


def gated_topology(topology: Topology, gates: Gates, file: Path) -> Topology:
    """The topology that workers read: a file with other addresses, whose modules are where they were.

    Args:
        topology: the application's, as it is declared.
        gates: what stands before its sinks.
        file: where it is written to.

    Raises:
        TopologyErrors: its file holds mistakes by now.
    """
    path = topology.source.path
    # As it was read when it was accepted: YAML itself makes more of dates and of keys such as `on`.
    content, source, problems = parse(content_of(path, TopologyErrors), path)
    if problems:
        raise TopologyErrors(source.report(problems))
    for name, keys in gates.keys.items():
        content["sinks"][name] |= keys
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return load(file)


def gated_specs(specs: Mapping[str, WorkerSpec], topology: Topology, gates: Gates) -> dict[str, WorkerSpec]:
    """How workers of `gated_topology` are started: where those of the declared one would be.

    Args:
        specs: how they would be started for the file with other addresses.
        topology: the application's, as it is declared.
        gates: what stands before its sinks.
    """
    folder = topology.folder
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {
        name: replace(
            spec,
            environment={**spec.environment, **gates.environment, "PYTHONPATH": path},
            folder=folder if spec.folder is not None else None,
        )
        for name, spec in specs.items()
    }

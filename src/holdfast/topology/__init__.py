"""The declaration of an application: model, strict loading, checks and the plan for a cluster.

- `load` reads `topology.yaml` into frozen values (`fields`, `model`, `sink_decls`, `translate`, `mend`,
  `check`)
- `resolve` and `check_file` also import what the file names (`references`, `resolved`)
- `plan` compares the declaration with what a cluster holds (`spec`)

Loading and resolving report every problem at once, with its line. Nothing here talks to a broker.
"""

from __future__ import annotations

from holdfast.declaration.source import Source
from holdfast.topology.load import DEFAULT_FILE, load
from holdfast.topology.model import (
    FaustDecl,
    GroupDecl,
    LeaderTaskDecl,
    ProcessorDecl,
    ProducerDecl,
    TopicDecl,
    Topology,
)
from holdfast.topology.plan import Difference, plan
from holdfast.topology.resolve import HandlerCheck, check_file, resolve
from holdfast.topology.resolved import (
    ResolvedLeaderTask,
    ResolvedProcessor,
    ResolvedProducer,
    ResolvedSink,
    ResolvedTopic,
    ResolvedTopology,
)
from holdfast.topology.sink_decls import CustomSinkDecl, PostgresSinkDecl, RedisSinkDecl, SinkDecl
from holdfast.topology.spec import TopicSpec

__all__ = [
    "DEFAULT_FILE",
    "CustomSinkDecl",
    "Difference",
    "FaustDecl",
    "GroupDecl",
    "HandlerCheck",
    "LeaderTaskDecl",
    "PostgresSinkDecl",
    "ProcessorDecl",
    "ProducerDecl",
    "RedisSinkDecl",
    "ResolvedLeaderTask",
    "ResolvedProcessor",
    "ResolvedProducer",
    "ResolvedSink",
    "ResolvedTopic",
    "ResolvedTopology",
    "SinkDecl",
    "Source",
    "TopicDecl",
    "TopicSpec",
    "Topology",
    "check_file",
    "load",
    "plan",
    "resolve",
]

"""The declaration of an application: model, strict loading, checks and the plan for a cluster.

`load` reads `topology.yaml` into frozen values. `resolve` imports what the file names.
`plan` compares the declaration with what a cluster holds. All three report every problem
at once. Nothing here talks to a broker.
"""

from __future__ import annotations

from holdfast.topology.load import DEFAULT_FILE, load
from holdfast.topology.model import (
    FaustDecl,
    GroupDecl,
    ProcessorDecl,
    ProducerDecl,
    TopicDecl,
    Topology,
)
from holdfast.topology.source import Source
from holdfast.topology.spec import TopicSpec

__all__ = [
    "DEFAULT_FILE",
    "FaustDecl",
    "GroupDecl",
    "ProcessorDecl",
    "ProducerDecl",
    "Source",
    "TopicDecl",
    "TopicSpec",
    "Topology",
    "load",
]

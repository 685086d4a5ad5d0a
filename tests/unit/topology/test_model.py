"""What follows from a declaration: names, and the topics that a cluster has to hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from holdfast.errors import TopologyError
from holdfast.topology import (
    CustomSinkDecl,
    FaustDecl,
    LeaderTaskDecl,
    PostgresSinkDecl,
    ProcessorDecl,
    ProducerDecl,
    TopicDecl,
    Topology,
)
from holdfast.topology.sink_decls import BreakerDecl
from holdfast.topology.translate import keys_of

SINKS = (PostgresSinkDecl, CustomSinkDecl, BreakerDecl)
MODELS = (Topology, TopicDecl, ProcessorDecl, FaustDecl, ProducerDecl, LeaderTaskDecl, *SINKS)


def shop(**changes: Any) -> Topology:
    """Return a small topology."""
    topics = {
        "orders": {"event": "a:Order", "partitions": 12},
        "payments": {"event": "a:Payment", "partitions": 12, "replication": 1},
        "spending": {"event": "a:Spending", "partitions": 3},
    }
    processors = {
        "saga": {
            "handler": "a:saga",
            "reads": ["payments", "orders"],
            "tables": {"state": "a:State"},
            "writes": ["spending"],
        },
        "live": {"runtime": "faust", "agent": "a:app", "reads": ["orders"]},
    }
    return Topology.model_validate({"app": "shop", "topics": topics, "processors": processors, **changes})


def test_names_on_the_cluster_start_with_the_application() -> None:
    """Group, changelog, transactional id and dead letters follow one pattern."""
    topology = shop()
    saga = topology.native["saga"]
    assert saga.group_id == "shop.saga"
    assert saga.changelog("state") == "shop.saga.state.changelog"
    assert saga.slot_id("host/0") == "shop.saga.host/0"
    assert topology.dead_letter_topic == "shop.dead-letters"


def test_a_version_has_names_of_its_own() -> None:
    """Two of them can be beside each other; what they share is their inputs and the command that switches."""
    old = shop().native["saga"]
    new = old.in_version("v2")
    assert new.group_id == "shop.saga.v2"
    assert new.changelog("state") == "shop.saga.v2.state.changelog"
    assert new.slot_id("host/0") == "shop.saga.v2.host/0"
    assert new.shadow("spending") == "shop.saga.v2.spending.shadow"
    assert (old.version_name, new.version_name) == ("unversioned", "v2")
    assert old.switch_id == new.switch_id == "shop.saga.switch"
    assert new.in_version(None).group_id == old.group_id


def test_shadow_topics_are_as_declared_but_never_compacted() -> None:
    """Dead letters have one too. They are no part of what `apply` creates: preparing a version does."""
    topics = {
        "orders": {"event": "a:Order", "partitions": 12},
        "spending": {
            "event": "a:Spending",
            "key": "k",
            "partitions": 3,
            "config": {"cleanup.policy": "compact", "max.message.bytes": 5},
        },
    }
    saga = {"handler": "a:saga", "reads": ["orders"], "writes": ["spending"], "version": "v2"}
    topology = shop(topics=topics, processors={"saga": saga})
    spending, letters = topology.shadow_topics(topology.native["saga"])
    assert (spending.name, spending.partitions, spending.replication) == (
        "shop.saga.v2.spending.shadow",
        3,
        3,
    )
    assert spending.config["cleanup.policy"] == "delete"
    assert spending.config["max.message.bytes"] == "5"
    assert letters.name == "shop.saga.v2.shop.dead-letters.shadow"
    assert not [spec for spec in topology.topic_specs() if spec.name.endswith(".shadow")]


@pytest.mark.parametrize("version", ["V2", "v.2", "", "x" * 21, "unversioned", 2])
def test_a_version_is_a_short_plain_word(version: Any) -> None:
    """It is part of names on the cluster, and of commands."""
    saga = {"handler": "a:saga", "reads": ["orders"], "version": version}
    with pytest.raises(ValidationError, match="expected a version"):
        shop(processors={"saga": saga})


def test_a_processor_has_as_many_shards_as_its_inputs_partitions() -> None:
    """Whatever runs it."""
    assert shop().partitions("saga") == 12
    assert shop().partitions("live") == 12


def test_a_changelog_is_compacted_and_as_wide_and_safe_as_the_inputs() -> None:
    """State is at least as safe as the safest input."""
    changelog, _ = shop().internal_topics()
    assert (changelog.name, changelog.partitions, changelog.replication) == (
        "shop.saga.state.changelog",
        12,
        3,
    )
    assert changelog.config == {"cleanup.policy": "compact", "min.insync.replicas": "2"}


def test_dead_letters_have_room_for_the_largest_record_and_its_cause() -> None:
    """They are kept until a person deals with them."""
    large = {"event": "a:Order", "partitions": 12, "config": {"max.message.bytes": 5_000_000}}
    *_, dead_letters = shop(topics={**shop_topics(), "orders": large}).internal_topics()
    assert dead_letters.config["retention.ms"] == "-1"
    assert int(dead_letters.config["max.message.bytes"]) == 5_000_000 + 65_536


def shop_topics() -> dict[str, Any]:
    """Return the topics of `shop` as data."""
    return {
        name: topic.model_dump(exclude={"name"}, exclude_defaults=True)
        for name, topic in shop().topics.items()
    }


def test_no_topics_of_its_own_without_a_processor_of_its_own() -> None:
    """Faust makes its own topics."""
    assert shop(processors={}).internal_topics() == ()


def test_two_brokers_must_hold_an_acknowledged_record() -> None:
    """The setting follows the replication unless it is declared."""
    specs = {spec.name: spec.config for spec in shop().topic_specs()}
    assert specs["orders"] == {"min.insync.replicas": "2"}
    assert specs["payments"] == {"min.insync.replicas": "1"}
    declared = {"event": "a:Order", "partitions": 12, "config": {"min.insync.replicas": 3}}
    topology = shop(topics={**shop_topics(), "orders": declared})
    assert topology.topic_specs()[0].config == {"min.insync.replicas": "3"}


def test_values_are_frozen_and_can_be_sent_to_a_worker() -> None:
    """A worker process gets an equal topology."""
    topology = shop()
    with pytest.raises(ValidationError):
        topology.topics["orders"].partitions = 3  # type: ignore[misc] # this is what is refused
    assert pickle.loads(pickle.dumps(topology)) == topology


@pytest.mark.parametrize("kind", ["topic", "processor", "producer"])
def test_an_unknown_name_is_told_with_the_nearest_one(kind: str) -> None:
    """Looking a name up never ends in a KeyError."""
    names = {"topic": "ordres", "processor": "sagas", "producer": "orders"}
    nearest = {"topic": "orders", "processor": "saga", "producer": "none"}
    with pytest.raises(TopologyError, match=f'{kind} "{names[kind]}" is not declared.*{nearest[kind]}'):
        getattr(shop(), kind)(names[kind])


GUIDE = Path(__file__).parents[3] / "docs" / "guide"


def test_the_guide_names_every_key() -> None:
    """A new key needs a line there."""
    text = "".join((GUIDE / page).read_text(encoding="utf-8") for page in ("topology.md", "sinks.md"))
    keys = {key for model in MODELS for key in keys_of(model)}
    assert [key for key in sorted(keys) if f"`{key}`" not in text and f"`{key}:" not in text] == []


def test_every_key_has_a_description() -> None:
    """The reference is made of them."""
    bare = [
        (model.__name__, name)
        for model in MODELS
        for name, field in model.model_fields.items()
        if not field.description and not str(field.alias).startswith("<")
    ]
    assert bare == []

"""The mark by which a cluster says itself that experiments may load it.

`fair_game: true` in an experiment is the word of whoever wrote the file. It says nothing of the cluster that
is found at `bootstrap_servers`: the file may have been copied, the address mistyped, a name may point
elsewhere since. So the cluster has to be marked as well: by a topic whose name ends with the id that the
cluster has. An empty topic needs no more than the rights that a run takes anyway, and can be seen and deleted
by any tool. The id keeps a mark from being carried to another cluster by whatever mirrors topics. See
docs/adr/0036.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors import NotFairGame
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.identity import Identity, identify
from holdfast.topology import TopicSpec

_MARK = "holdfast-fair-game-"
_BROKERS_CHOICE = -1
"""As many copies as the brokers give a topic of which nobody says it (KIP-464)."""


def mark_of(cluster_id: str) -> str:
    """The topic that marks a cluster."""
    return f"{_MARK}{cluster_id}"


def foreign_topics(cluster: Identity) -> Sequence[str]:
    """Topics that are neither Kafka's own nor a mark."""
    return [name for name in cluster.topics if not name.startswith(_MARK)]


def described(cluster: Identity) -> str:
    """A cluster in words, for who has to recognize it."""
    brokers, topics = len(cluster.brokers), len(foreign_topics(cluster))
    return (
        f"cluster {cluster.cluster_id} ({brokers} broker{'' if brokers == 1 else 's'}, "
        f"{topics} topic{'' if topics == 1 else 's'} of others)"
    )


def require_fair_game(servers: str) -> Identity:
    """Return the cluster at an address, if it is marked.

    Raises:
        NotFairGame: it is not; says which cluster it is and what marks it.
        ClusterError: it does not answer.
    """
    cluster = identify(servers)
    if mark_of(cluster.cluster_id) not in cluster.topics:
        raise NotFairGame(
            f"{servers} is {described(cluster)}, and it is not marked as fair game: nothing is done to it. "
            "If experiments may load it, and workers may crash on it, mark it: holdfast chaos allow "
            f"{cluster.cluster_id} --bootstrap-servers {servers}"
        )
    return cluster


def allow(servers: str, cluster_id: str) -> Identity:
    """Mark a cluster; nothing happens if it is marked.

    Args:
        servers: where it is.
        cluster_id: which one is meant.

    Raises:
        NotFairGame: another cluster is found there.
        ClusterError: it does not answer, or does not let us create a topic.
    """
    cluster = identify(servers)
    if cluster.cluster_id != cluster_id:
        raise NotFairGame(
            f"{servers} is {described(cluster)}, not {cluster_id}; nothing was marked. Name the id of the "
            "cluster that is meant, or the address that it has"
        )
    if mark_of(cluster_id) not in cluster.topics:
        TopicAdmin(servers).create([TopicSpec(mark_of(cluster_id), 1, _BROKERS_CHOICE)])
    return cluster


def forbid(servers: str) -> Identity:
    """Take the mark from a cluster; nothing happens if it has none.

    Raises:
        ClusterError: it does not answer, or does not let us delete the topic.
    """
    cluster = identify(servers)
    TopicAdmin(servers).delete([name for name in cluster.topics if name == mark_of(cluster.cluster_id)])
    return cluster

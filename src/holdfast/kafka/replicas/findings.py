"""From what was read and compared to the verdict on each replica, with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.kafka.replicas.compare import Copy, Difference
from holdfast.kafka.replicas.verdict import Finding, Retention, Verdict
from holdfast.record import TopicPartition


@dataclass(slots=True)
class Account:
    """How reading one replica went.

    Attributes:
        proven: something was proven to come from it.
        damage: where a checksum does not fit; None if all did.
        failure: the offset from which it could not be read on; None if it could.
        said: what the client said of one or the other.
        newest_missing: the newest timestamp of the records before its first one, in milliseconds.
        deleted_below: offsets before this one were deleted everywhere while it was read.
    """

    proven: bool = False
    damage: int | None = None
    failure: int | None = None
    said: str = ""
    newest_missing: int = -1
    deleted_below: int = -1


@dataclass(frozen=True, slots=True)
class Judge:
    """Gives the verdicts on the replicas of one partition.

    Attributes:
        place: the partition.
        begin: the first offset that was to be compared.
        end: the offset after the last one.
        retention: what the brokers may delete by themselves.
        now: milliseconds since the epoch.
    """

    place: TopicPartition
    begin: int
    end: int
    retention: Retention
    now: int

    def findings(
        self,
        copies: Mapping[int, Copy],
        accounts: Mapping[int, Account],
        parts: Mapping[int, tuple[str, ...]],
    ) -> dict[int, Finding]:
        """A finding for each replica that was to be read.

        Args:
            copies: what was compared, by broker.
            accounts: how reading went, by broker.
            parts: the parts of a replica's first differing record that differ.
        """
        known_floor = max(
            (it.floor for it in copies.values() if self._may_begin_late(it, accounts[it.broker])),
            default=self.begin,
        )
        return {
            broker: self._trouble(copy, accounts[broker], parts.get(broker, ()))
            or self._good(copy, accounts[broker], known_floor)
            for broker, copy in copies.items()
        }

    def _trouble(self, copy: Copy, account: Account, parts: tuple[str, ...]) -> Finding | None:
        if account.damage is not None:
            return Finding(
                Verdict.CORRUPT,
                account.damage,
                f"the batch at offset {account.damage} is damaged on its disk ({account.said}); what follows "
                f"it was not compared. {self._repair(copy.broker)}",
            )
        if copy.first is not None:
            return Finding(Verdict.DIFFERS, copy.first.offset, self._difference(copy, copy.first, parts))
        if account.failure is not None:
            text = f"it could not be read from offset {account.failure} on: {account.said}"
            return Finding(Verdict.NOT_READ, account.failure, text)
        if not account.proven and self.begin < self.end:
            return Finding(
                Verdict.NOT_READ,
                self.begin,
                "nothing that came is proven to be from it: another broker answered in its place.",
            )
        if copy.floor > self.begin and not self._may_begin_late(copy, account):
            return Finding(
                Verdict.DIFFERS,
                self.begin,
                f"it serves no record before offset {copy.floor}, the leader does from {self.begin} on, and "
                f"the topic's retention does not explain it. {self._repair(copy.broker)}",
            )
        return None

    def _good(self, copy: Copy, account: Account, known_floor: int) -> Finding:
        missing = self.end - max(copy.floor, known_floor) - copy.accompanied
        if missing > 0 and not copy.accompanied:
            return Finding(Verdict.NOT_COMPARED, None, "no other replica could be read to compare it with.")
        if missing > 0:
            text = (
                f"only {copy.accompanied:,} of its offsets could be read from others too; they are the same."
            )
            return Finding(Verdict.NOT_COMPARED, None, text)
        if copy.floor <= self.begin:
            return Finding(Verdict.SAME)
        if account.deleted_below >= copy.floor:
            text = f"offsets before {copy.floor} were deleted while it was read."
        else:
            text = (
                f"it begins at offset {copy.floor}, the leader at {self.begin}: each broker deletes old "
                "segments at times of its own. If it stays so for long, segments were lost."
            )
        return Finding(Verdict.SAME, None, text)

    def _may_begin_late(self, copy: Copy, account: Account) -> bool:
        """Whether it is as it should be that a replica has nothing before its floor."""
        if not account.proven:
            return False
        explained = self.retention.explains(account.newest_missing, self.now)
        return account.deleted_below >= copy.floor or explained

    def _difference(self, copy: Copy, first: Difference, parts: tuple[str, ...]) -> str:
        if first.lacks:
            what = f"it has no record at offset {first.offset}, broker {first.unlike} has one"
        elif first.extra:
            what = f"it has a record at offset {first.offset}, broker {first.unlike} has none"
        elif parts:
            named = " and ".join(parts)
            what = f"at offset {first.offset} it has another {named} than broker {first.unlike}"
        else:
            what = f"its record at offset {first.offset} is not that of broker {first.unlike}"
        more = f"; {copy.differing:,} offsets differ in all" if copy.differing > 1 else ""
        if first.disputed:
            return f"{what}{more}. No majority says which of them is right."
        return f"{what}{more}. {self._repair(copy.broker)}"

    def _repair(self, broker: int) -> str:
        folder = f"{self.place.topic}-{self.place.partition}"
        return (
            f"While other replicas are good and in sync: stop broker {broker}, move its folder {folder} "
            "away, start it; it copies the partition from the leader."
        )

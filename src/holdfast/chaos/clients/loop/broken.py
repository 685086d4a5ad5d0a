"""Which loop makes which mistake."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.chaos.clients.loop import broken_offsets, broken_records, broken_state, broken_transactions
from holdfast.chaos.clients.loop.at_least_once import AtLeastOnce
from holdfast.chaos.clients.loop.base import Loop
from holdfast.chaos.clients.loop.mistakes import Mistake

BROKEN: Mapping[Mistake, type[Loop]] = {
    Mistake.NO_TRANSACTION: AtLeastOnce,
    Mistake.OFFSETS_FIRST: broken_offsets.OffsetsFirst,
    Mistake.OFFSETS_OUTSIDE: broken_offsets.OffsetsOutside,
    Mistake.AUTO_COMMIT: broken_offsets.AutoCommit,
    Mistake.STARTS_AT_END: broken_offsets.StartsAtEnd,
    Mistake.FORGETS_AT_REBALANCE: broken_offsets.ForgetsAtRebalance,
    Mistake.NOT_RESTORED: broken_state.NotRestored,
    Mistake.KEEPS_REVOKED_STATE: broken_state.KeepsRevokedState,
    Mistake.RESTORES_UNCOMMITTED: broken_state.RestoresUncommitted,
    Mistake.KEEPS_ABORTED_STATE: broken_state.KeepsAbortedState,
    Mistake.CHANGELOG_AFTER_COMMIT: broken_state.ChangelogAfterCommit,
    Mistake.NO_REWIND: broken_records.NoRewind,
    Mistake.SWALLOWS_ERRORS: broken_records.SwallowsErrors,
    Mistake.COMMIT_TAKEN_FOR_ABORT: broken_records.CommitTakenForAbort,
    Mistake.KEEPS_DEAD_PRODUCER: broken_transactions.KeepsDeadProducer,
    Mistake.NO_FENCING: broken_transactions.NoFencing,
    Mistake.READS_UNCOMMITTED: broken_transactions.ReadsUncommitted,
    Mistake.OUT_OF_ORDER: broken_records.OutOfOrder,
    Mistake.DROPS_UNDER_LOAD: broken_records.DropsUnderLoad,
    Mistake.WRONG_PARTITIONER: broken_transactions.WrongPartitioner,
    Mistake.TWO_TRANSACTIONS: broken_records.TwoTransactions,
    Mistake.WRONG_BALANCE: broken_state.WrongBalance,
}
"""One loop for each mistake."""

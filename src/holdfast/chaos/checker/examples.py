"""Examples for people: the ids that a rule found become records and operations, as they are known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from holdfast.chaos.checker.cycles import Circle
from holdfast.chaos.checker.spans import OVERWRITE, PROCESS, READ
from holdfast.chaos.checker.verdict import Act, Example, Record
from holdfast.chaos.history.database import Database


class Describer:
    """Looks up what ids stand for; meant for a few at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def examples(self, rows: Sequence[tuple[list[int], list[int], str]]) -> tuple[Example, ...]:
        """Examples from ids of records, ids of operations, and a text."""
        records = self._records({each for row in rows for each in row[0]})
        acts = self._acts({each for row in rows for each in row[1]})
        return tuple(
            Example(self._with_logs(text), tuple(records[w] for w in ws), tuple(acts[op] for op in ops))
            for ws, ops, text in rows
        )

    def circle(self, circle: Circle) -> Example:
        """A circle, told step by step."""
        ops = [source for source, _, _ in circle.edges]
        name = {op: f"T{number}" for number, op in enumerate(ops, start=1)}
        acts = self._acts(set(ops))
        steps = [self._step(name[a], name[b], a, b, label, acts) for a, label, b in circle.edges]
        told = "; ".join(f"{name[op]} is operation {op}" for op in ops)
        text = f"{told}. {', '.join(steps)}: so each of them would have to come before itself"
        return Example(text, (), tuple(acts[op] for op in ops))

    def _step(self, a: str, b: str, source: int, target: int, label: int, acts: dict[int, Act]) -> str:
        if label == READ:
            record = self._one_record(
                "SELECT s.w FROM rd JOIN writes s USING (w) WHERE s.op = ? AND rd.op = ? LIMIT 1",
                source,
                target,
            )
            return f"{a} sent {record}, which {b} read"
        if label == OVERWRITE:
            record = self._one_record(
                """SELECT x.w FROM writes x JOIN writes y ON y.log = x.log AND y.first = x.last + 1
                WHERE x.op = ? AND y.op = ? LIMIT 1""",
                source,
                target,
            )
            return f"{a} sent {record}, and {b} wrote right behind it"
        if label == PROCESS:
            return f"{b} followed {a} in the process {acts[source].process}"
        return f"{a} had ended ({acts[source].ended} ns) before {b} began ({acts[target].began} ns)"

    def _one_record(self, query: str, source: int, target: int) -> str:
        (w,) = self._database.rows(query, [source, target])[0]
        record = self._records({w})[w]
        return f"{record.value} at offset {'?' if record.offset is None else record.offset} of {record.log}"

    def _records(self, ids: set[int]) -> dict[int, Record]:
        if not ids:
            return {}
        rows = self._database.rows(
            """
            SELECT w, l.log, k.key, value, coalesce(s."offset", e."offset"), p.process, s.op, o.began,
                o.ended, s.outcome
            FROM writes s JOIN logs l ON l.id = s.log JOIN keys k ON k.id = s.key JOIN op o USING (op)
            JOIN processes p ON p.id = s.process
            LEFT JOIN (SELECT w, min("offset") AS "offset" FROM place WHERE w IN (SELECT unnest($ids))
                GROUP BY w) e USING (w)
            WHERE w IN (SELECT unnest($ids))""",
            {"ids": list(ids)},
        )
        return {row[0]: Record(*row[1:]) for row in rows}

    def _acts(self, ids: set[int]) -> dict[int, Act]:
        rows = self._database.rows(
            """SELECT op, p.process, action, began, ended, outcome FROM op JOIN processes p
                ON p.id = op.process
            WHERE op IN (SELECT unnest($ids))""",
            {"ids": list(ids)},
        )
        return {row[0]: Act(*row) for row in rows}

    def _with_logs(self, text: str) -> str:
        def name(match: re.Match[str]) -> str:
            rows: list[tuple[Any, ...]] = self._database.rows(
                "SELECT log FROM logs WHERE id = ?", [int(match[1])]
            )
            return str(rows[0][0])

        return re.sub(r"\{log:(\d+)\}", name, text)

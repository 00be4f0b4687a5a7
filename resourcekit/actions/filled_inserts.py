"""Inserts of rows in which the database fills some of the attributes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import attrs

from resourcekit.actions.runtime import Runtime
from resourcekit.data_layers.base import Insert, Row
from resourcekit.results import Outcome, WriteFailure, WriteResult

__all__ = ["insert_each"]


async def insert_each(runtime: Runtime, kind: str, rows: Sequence[Row], *, returning: bool) -> WriteResult:
    """Insert rows that may lack different attributes: one statement for neighbours that give the same ones.

    They are written in the order of the rows: the first of two rows with one key is stored. Return one result, in that order.
    """
    places = range(len(rows))
    groups = [(fields, list(indexes)) for fields, indexes in groupby(places, lambda index: runtime.inserted(rows[index]))]

    async def written(fields: tuple[str, ...], indexes: list[int]) -> WriteResult:
        plan = runtime.plan((kind, fields), lambda: Insert(fields, returning=returning))
        return await runtime.store.insert(plan, [rows[index] for index in indexes], {})

    if len(groups) == 1:
        return await written(*groups[0])
    async with runtime.store.transaction():
        parts = [(indexes, await written(fields, indexes)) for fields, indexes in groups]
    return _joined(parts, len(rows), returning=returning)


def _joined(parts: Sequence[tuple[list[int], WriteResult]], size: int, *, returning: bool) -> WriteResult:
    outcomes = [Outcome.FAILED] * size
    written: dict[int, Row] = {}
    failures: list[WriteFailure] = []
    for indexes, result in parts:
        given = iter(result.rows)
        for index, outcome in zip(indexes, result.outcomes, strict=True):
            outcomes[index] = outcome
            if returning and outcome in (Outcome.INSERTED, Outcome.UPDATED):
                written[index] = next(given)
        failures += [attrs.evolve(each, index=indexes[each.index]) for each in result.failures]
    kept = tuple(written[index] for index in sorted(written))
    failures.sort(key=lambda each: each.index)
    return WriteResult(sum(result.count for _, result in parts), kept, tuple(outcomes), tuple(failures))

"""Rows of the live table as requests: when, how long, whether they failed, and whether the champion decides alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core.columns import Array, Columns
from components.core.errors import RowError
from components.core.ranking import Floats
from components.core.scorer import Scorer

OWN = ("_id", "_at", "_source", "_arrival", "_version", "_role", "_status", "_latency_ms", "_score", "_decision")
PREDICTED = ("_id", "_at", "_score", "_decision")
_ANSWERED, _FAILED = 200, 500
Asked = Callable[[Array], Array | None]
"""Positions among the rows -> the champion's decisions there, or None where the rows lack one of its inputs."""


@dataclass(frozen=True)
class Requests:
    """n requests of one version in one window of the table."""

    at: Floats
    """Seconds since 1970."""
    failed: Floats
    """1 where the server answered 5xx, 0 where 2xx."""
    latency: Floats
    """Milliseconds; NaN where there was no answer."""
    alike: Floats
    """The share of the request's rows on which the champion decides alike; NaN where it was not asked."""
    stream: npt.NDArray[np.bool_]
    """Whether it came by the stream."""
    rows: pa.Table
    """Of the answered requests of a single row, which a label can be joined to: `PREDICTED`."""

    def __len__(self) -> int:
        return len(self.at)


def counted(rows: pa.Table, until: float) -> npt.NDArray[np.bool_]:
    """Which rows (`OWN`) until a moment (seconds since 1970) say something of their version.

    Those that reached a model, for 4xx are the caller's own mistakes, and by the split: who names a version is no
    random caller.
    """
    status = _numbers(rows, "_status")
    reached: npt.NDArray[np.bool_] = (status // 100 == _ANSWERED // 100) | (status >= _FAILED)
    by_split: npt.NDArray[np.bool_] = texts(rows, "_role") != "named"
    in_time: npt.NDArray[np.bool_] = _numbers(rows, "_at") <= until * 1e6
    return reached & by_split & in_time


def requests(rows: pa.Table, asked: Asked | None = None, *, labelled: bool = True) -> Requests:
    """The requests in the rows (`OWN`) of one version; the rows of a request stand together.

    `labelled` says whether labels are asked for: their predictions are kept.
    """
    ids, at, status = texts(rows, "_id"), _numbers(rows, "_at"), _numbers(rows, "_status")
    first = np.ones(len(ids), dtype=bool)
    first[1:] = (ids[1:] != ids[:-1]) | (at[1:] != at[:-1])
    of, starts = np.cumsum(first) - 1, np.flatnonzero(first)
    answered, count = status[starts] == _ANSWERED, np.bincount(of, minlength=len(starts))
    alike = np.full(len(starts), np.nan)
    at_rows = np.flatnonzero(answered[of])
    told = asked(at_rows) if asked is not None and len(at_rows) else None
    if told is not None:
        same = (told == texts(rows, "_decision")[at_rows]).astype(np.float64)
        alike[answered] = (np.bincount(of[at_rows], same, len(starts)) / count)[answered]
    single = (answered & (count == 1) & labelled)[of]
    return Requests(
        at[starts] / 1e6,
        (status[starts] >= _FAILED).astype(np.float64),
        np.where(answered, _numbers(rows, "_latency_ms")[starts], np.nan),
        alike,
        texts(rows, "_source")[starts] == "stream",
        rows.select(PREDICTED).filter(pa.array(single)),
    )


def joined(parts: Sequence[Requests]) -> Requests:
    """All of them as one."""
    names = ("at", "failed", "latency", "alike", "stream")
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Requests(**columns, rows=pa.concat_tables([part.rows for part in parts]).combine_chunks())


def decisions(scorer: Scorer, columns: Columns) -> Array:
    """The model's decisions (n,) of its input columns; None for a row that its transform refuses."""
    rows = len(next(iter(columns.values())))
    try:
        return scorer.predict(columns).decision
    except RowError:
        if rows == 1:
            return np.array([None], dtype=object)
        halves: Sequence[slice] = (slice(rows // 2), slice(rows // 2, None))
        return np.concatenate([decisions(scorer, {n: v[half] for n, v in columns.items()}) for half in halves])


def texts(rows: pa.Table, name: str) -> Array:
    """A column of texts as objects (n,), None where it is null."""
    return np.array(rows.column(name).to_pylist(), dtype=object)


def _numbers(rows: pa.Table, name: str) -> Floats:
    """A column of numbers, or of times in microseconds, as float64 (n,); NaN where it is null."""
    column = rows.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)

"""The second step: which messages came too late and which came before, exactly and whatever the chunking.

Of a message at an offset, with L the largest message time at smaller offsets: it is late where its time is below
L - lateness; else a duplicate where a smaller offset has the same id with a time of at least L - lateness; else good.
So what is remembered depends on times alone, and a reader that begins in the middle of a log comes to the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.streaming.decode import KEY, TIME

NEVER = -(2**61)
"""The largest message time before the first message."""

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """The largest message time so far, and the ids (`_key`, `_time`) that a later message may repeat."""

    ids: pa.Table
    largest: int = NEVER

    @classmethod
    def nothing(cls, largest: int = NEVER) -> Seen:
        return cls(pa.schema({KEY: pa.string(), TIME: pa.int64()}).empty_table(), largest)


@dataclass(frozen=True)
class Judged:
    """Which of n rows are late or a duplicate; `limits` (n,) is the time below which each would have been late."""

    late: Mask
    duplicate: Mask
    limits: Ints

    @property
    def good(self) -> Mask:
        return ~(self.late | self.duplicate)


def judge(seen: Seen, rows: pa.Table, lateness: int) -> tuple[Seen, Judged]:
    """What the decoded rows are, in offset order; `lateness` in microseconds."""
    times = np.asarray(rows.column(TIME)).astype(np.int64, copy=False)
    largest = np.maximum.accumulate(np.concatenate([[seen.largest], times]).astype(np.int64))
    limits = largest[:-1] - lateness
    late = times < limits
    asked = rows.select([KEY, TIME]).filter(pa.array(~late))
    ids = pa.concat_tables([seen.ids, asked])
    duplicate = np.zeros(len(times), dtype=bool)
    duplicate[~late] = _repeated(ids, seen.ids.num_rows, limits[~late])
    now = int(largest[-1])
    kept = ids.filter(pa.array(np.asarray(ids.column(TIME)) >= now - lateness)).combine_chunks()
    return Seen(kept, now), Judged(late, duplicate, limits)


def _repeated(ids: pa.Table, first: int, limits: Ints) -> Mask:
    """Which rows from position `first` on have an id that stands before them with a time of at least their limit."""
    codes = np.asarray(ids.column(KEY).combine_chunks().dictionary_encode().indices).astype(np.int64)
    found = np.zeros(len(limits), dtype=bool)
    often = np.bincount(codes, minlength=1)[codes] > 1
    if not often[first:].any():
        return found
    at = np.flatnonzero(often)
    at = at[np.argsort(codes[at], kind="stable")]
    stamps, ranks = np.unique(np.asarray(ids.column(TIME))[at], return_inverse=True)
    # The largest time so far of each id: ids have ranges of their own, so none crosses into the next.
    reached = np.maximum.accumulate(codes[at] * len(stamps) + ranks)
    same = codes[at][1:] == codes[at][:-1]
    before = np.where(same, stamps[reached[:-1] % len(stamps)], NEVER)
    asked = at[1:] >= first
    places = at[1:][asked] - first
    found[places] = before[asked] >= np.maximum(limits[places], NEVER + 1)
    return found

"""Windowed counts and sums per key, over any number of rows at once and exact to the bit.

An entry is a value that may be seen: (key, time, arrival, value). A query (key, time t, arrival a) sees the entries of
its key with a time in [t - length, t) and an arrival smaller than a. Entries are sorted once by key and time, so that a
window is a slice, and its sum the difference of two prefix sums in int64 (they may wrap: differences are exact modulo
2^64). What arrived too late for a query is subtracted again, found by a wavelet matrix over the late entries alone
(Claude, Navarro and Ordóñez, The wavelet matrix, 2015): the cost stays n log n however much is late.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]


def key_codes(columns: Sequence[pa.ChunkedArray | pa.Array]) -> Ints:
    """One number per distinct key of n rows, from 0; -1 where a part of the key is missing (null, '', NaN)."""
    codes: Ints | None = None
    for column in columns:
        part = _encoded(missing_as_null(column))
        if codes is None:
            codes = part
        else:
            # Both are below n, so the pair stays below n * n; encoding it again brings it below n.
            pair = np.where((codes < 0) | (part < 0), -1, codes * (part.max(initial=0) + 1) + part)
            codes = _encoded(pa.array(pair, mask=pair < 0))
    assert codes is not None, "a key has at least one column"
    return codes


def missing_as_null(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column in one piece, with '' and NaN as null and -0.0 as 0.0: neither differs as a key."""
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_string(flat.type):
        return pc.if_else(pc.equal(flat, ""), None, flat)
    if pa.types.is_floating(flat.type):
        return pc.if_else(pc.is_nan(flat), None, pc.add(flat, 0.0))
    return flat


def _encoded(column: pa.Array) -> Ints:
    return np.asarray(column.dictionary_encode().indices.fill_null(-1)).astype(np.int64)


class Ordered:
    """Times per key, sorted by (key, time): where in that order a (key, moment) falls.

    `codes` (m,) are keys from 0, `times` (m,) microseconds; rows of equal key and time keep their order.
    """

    def __init__(self, codes: Ints, times: Ints) -> None:
        self._stamps, ranks = np.unique(times, return_inverse=True)
        self._span = len(self._stamps) + 1
        ranked = codes * self._span + ranks.reshape(-1)
        self.order: Ints = np.argsort(ranked, kind="stable")
        self.ranked: Ints = ranked[self.order]

    def rank(self, codes: Ints, times: Ints, *, inclusive: bool = False) -> Ints:
        """What is at or after each (key, time) has this rank or more; inclusive: what is after it."""
        return codes * self._span + np.searchsorted(self._stamps, times, side="right" if inclusive else "left")

    def before(self, codes: Ints, times: Ints, *, inclusive: bool = False) -> Ints:
        """How many rows of the order lie before each (key, time), smaller keys among them; 0 for the key -1."""
        asked = self.rank(codes, times, inclusive=inclusive)
        order = np.argsort(asked)  # sorted, the searches share their cache lines: 8 times as fast
        found = np.empty(len(asked), np.int64)
        found[order] = np.searchsorted(self.ranked, asked[order])
        return found


class Entries:
    """What a window may see: m entries, those with a missing key (-1) left out.

    Parameters
    ----------
    codes, times, values
        (m,) each: keys, microseconds and whole multiples of the window's unit.
    arrivals
        (m,) arrival numbers, or None where the time is the order of arrival.
    """

    def __init__(self, codes: Ints, times: Ints, values: Ints, arrivals: Ints | None = None) -> None:
        self._ordered = Ordered(codes, times)
        order = self._ordered.order
        self._codes, self._times, self._values = codes[order], times[order], values[order]
        self._sums = _prefix(self._values)
        self._arrivals = None if arrivals is None else arrivals[order]

    def look(
        self, codes: Ints, times: Ints, lengths: Sequence[int], arrivals: Ints | None = None
    ) -> list[tuple[Ints, Ints]]:
        """(count (n,), sum (n,)) of what each of n queries sees, for each length in microseconds."""
        seen = self._all(codes, times, lengths)
        if self._arrivals is None or arrivals is None:
            return seen
        late = self._late(codes, times, arrivals)
        if not late.any():
            return seen
        ranks, floors = _joint_ranks(self._arrivals[late], arrivals)
        ordered = Ordered(self._codes[late], self._times[late])
        stop = ordered.before(codes, times)
        result = []
        for length, (counts, sums) in zip(lengths, seen, strict=True):
            start = ordered.before(codes, times - length)
            touched = np.flatnonzero(stop > start)
            more, total = _at_least(ranks, self._values[late], start[touched], stop[touched], floors[touched])
            counts[touched] -= more
            sums[touched] -= total
            result.append((counts, sums))
        return result

    def _all(self, codes: Ints, times: Ints, lengths: Sequence[int]) -> list[tuple[Ints, Ints]]:
        stop = self._ordered.before(codes, times)
        starts = [self._ordered.before(codes, times - length) for length in lengths]
        return [(stop - start, self._sums[stop] - self._sums[start]) for start in starts]

    def _late(self, codes: Ints, times: Ints, arrivals: Ints) -> npt.NDArray[np.bool_]:
        """Which entries arrived no sooner than some query of their key at a later time."""
        assert self._arrivals is not None
        ranks, floors = _joint_ranks(self._arrivals, arrivals)
        span = int(max(ranks.max(initial=0), floors.max(initial=0))) + 1
        asked = self._ordered.rank(codes, times)
        order = np.argsort(asked)
        # Arrivals of smaller keys sort below those of greater ones, so the minimum never crosses a key's end.
        least = np.minimum.accumulate((codes * span + floors)[order][::-1])[::-1]
        least = np.append(least, np.iinfo(np.int64).max)
        first_later = np.searchsorted(asked[order], self._ordered.ranked, side="right")
        late: npt.NDArray[np.bool_] = self._codes * span + ranks >= least[first_later]
        return late


def _prefix(values: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])


def _joint_ranks(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Ranks of both among the values of both; equal values have equal ranks."""
    ranks = np.unique(np.concatenate([left, right]), return_inverse=True)[1].reshape(-1)
    return ranks[: len(left)], ranks[len(left) :]


def _at_least(ranks: Ints, values: Ints, start: Ints, stop: Ints, floor: Ints) -> tuple[Ints, Ints]:
    """Count and sum, for each query, of the positions in [start, stop) whose rank is at least `floor`."""
    counts, sums = np.zeros(len(start), np.int64), np.zeros(len(start), np.int64)
    top = int(max(ranks.max(initial=0), floor.max(initial=0)))
    for level in reversed(range(top.bit_length())):
        bit = (ranks >> level) & 1
        ones = _prefix(bit)
        order = np.argsort(bit, kind="stable")
        ranks, values = ranks[order], values[order]
        totals, zeros = _prefix(values), len(bit) - int(ones[-1])
        start_one, stop_one = zeros + ones[start], zeros + ones[stop]
        up = ((floor >> level) & 1) == 1
        counts += np.where(up, 0, stop_one - start_one)
        sums += np.where(up, 0, totals[stop_one] - totals[start_one])
        start, stop = np.where(up, start_one, start - ones[start]), np.where(up, stop_one, stop - ones[stop])
    return counts + (stop - start), sums + _prefix(values)[stop] - _prefix(values)[start]

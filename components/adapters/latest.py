"""What was appended more than once is read once: of rows with an equal key, the last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def latest(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Of the rows with equal values in `keys`, the last one, in their order; a row whose last key is null stays."""
    codes = np.zeros(rows.num_rows, np.int64)
    for name in keys:
        column = rows.column(name).combine_chunks()
        encoded = column.dictionary_encode()
        own = np.asarray(encoded.indices.fill_null(len(encoded.dictionary))).astype(np.int64)
        _, codes = np.unique(codes * (len(encoded.dictionary) + 1) + own, return_inverse=True)
    last = np.full(codes.max(initial=-1) + 1, -1)
    last[codes] = np.arange(rows.num_rows)  # of several for one place, numpy keeps the last
    kept = last[codes] == np.arange(rows.num_rows)
    kept |= np.asarray(rows.column(keys[-1]).is_null())
    return rows if kept.all() else rows.filter(pa.array(kept))

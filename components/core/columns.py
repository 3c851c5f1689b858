"""How a column enters the transform: by the case's declared type, never by its content.

| type      | in Parquet           | in `features(columns)`            | missing |
|-----------|----------------------|-----------------------------------|---------|
| number    | float64              | float64                           | NaN     |
| bool      | bool                 | float64, 0 or 1                   | NaN     |
| string    | string               | object of str                     | ''      |
| id        | string               | object of str                     | ''      |
| timestamp | timestamp[us, UTC]   | datetime64[us], UTC               | NaT     |

From and to Arrow: `core.arrow`; from JSON: `serving.body`. The prediction server has numpy and no Arrow.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ColumnType = Literal["number", "bool", "string", "id", "timestamp"]
Array = npt.NDArray[Any]
Columns = dict[str, Array]

DTYPES: dict[ColumnType, np.dtype[Any]] = {
    "number": np.dtype(np.float64),
    "bool": np.dtype(np.float64),
    "string": np.dtype(object),
    "id": np.dtype(object),
    "timestamp": np.dtype("datetime64[us]"),
}
MISSING: dict[ColumnType, object] = {
    "number": np.nan,
    "bool": np.nan,
    "string": "",
    "id": "",
    "timestamp": np.datetime64("NaT"),
}

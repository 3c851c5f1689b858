"""Calendar periods in UTC: the partitions of a case's events, and what each is used for.

A key sorts as its time does: 2013-01 (month), 2013-01-07 (day, or the Monday of a week), 2013-01-07T05 (hour).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from components.core.case import Split
from components.core.errors import DataError

By = Literal["hour", "day", "week", "month"]
Use = Literal["train", "validation", "holdout", "score"]
COMPLETE = 0.9
"""A period counts as complete when its newest event lies in its last tenth, or after it."""

_MONDAY = np.datetime64("1969-12-29", "D")


def starts(times: npt.NDArray[Any], by: By) -> npt.NDArray[Any]:
    """The start of each time's period; times (n,) datetime64 in UTC, without NaT -> (n,) datetime64[us]."""
    if by == "week":
        days = times.astype("datetime64[D]")
        return (days - (days - _MONDAY) % np.timedelta64(7, "D")).astype("datetime64[us]")
    unit = {"hour": "h", "day": "D", "month": "M"}[by]
    return times.astype(f"datetime64[{unit}]").astype("datetime64[us]")


def end(start: np.datetime64, by: By) -> np.datetime64:
    """The first moment after the period that starts at `start`."""
    if by == "month":
        return np.datetime64(start.astype("datetime64[M]") + 1, "us")
    length = {"hour": np.timedelta64(1, "h"), "day": np.timedelta64(1, "D"), "week": np.timedelta64(7, "D")}[by]
    return np.datetime64(start.astype("datetime64[us]") + length, "us")


def key(start: np.datetime64, by: By) -> str:
    unit = {"hour": "h", "day": "D", "week": "D", "month": "M"}[by]
    return str(start.astype(f"datetime64[{unit}]"))


def newest_complete_end(newest: np.datetime64, by: By) -> np.datetime64:
    """The end of the newest complete period, given the newest event's time."""
    newest = newest.astype("datetime64[us]")
    start = starts(np.array([newest]), by)[0]
    stop = end(start, by)
    done = float((newest - start) / (stop - start))
    return stop if done >= COMPLETE else start


def uses(keys: Sequence[str], split: Split) -> dict[str, Use]:
    """What each period (sorted keys, of complete periods) is used for; the oldest beyond `split.train` are left out.

    Raises
    ------
    DataError
        There are fewer periods than the split needs.
    """
    needed = split.score + split.holdout + split.validation + (split.train or 1)
    if len(keys) < needed:
        rule = f"reach over at least {needed} complete periods of one {split.by}"
        remedy = "Give more history, or smaller or fewer periods in 'split'."
        raise DataError("events", rule, f"{len(keys)}: {', '.join(keys[:12])}", remedy)
    rest = list(keys)
    result: dict[str, Use] = {}
    for use, count in (("score", split.score), ("holdout", split.holdout), ("validation", split.validation)):
        for name in rest[len(rest) - count :]:
            result[name] = use  # type: ignore[assignment]  # the literals stand in the line above
        rest = rest[: len(rest) - count]
    for name in rest[-split.train :] if split.train else rest:
        result[name] = "train"
    return dict(sorted(result.items()))

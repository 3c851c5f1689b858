"""Run records as a flights batch run writes them: one that succeeded, one that failed, one that was killed, one empty.

With what a page must bear: long names, odd Unicode, markup in texts, missing values, 60-row tables, 200-point curves.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

from components import ROUTE
from components.core import blocks
from components.core.blocks import Block
from components.core.record import RunRecord, StepRecord

STARTED = 1_763_740_000.0
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e\x00\ud800"
LONG = "a_column_whose_name_nobody_wanted_to_shorten_" * 3
ODD = "Zürich – São Paulo ✈ 東京 العربية 👩🏽‍🚀"
_TIMES = (
    # step, starts after, seconds, peak MB, rows in, rows out
    ("ingest", 0.4, 3.8, 412, 336_776, 328_521),
    ("validate", 4.6, 11.7, 1_180, 328_521, 328_521),
    ("preprocess", 4.7, 8.9, 731, 328_521, 327_346),
    ("train", 16.6, 12.4, 968, 199_842, 199_842),
    ("evaluate", 29.2, 7.3, 655, 72_640, 72_640),
    ("register", 36.7, 3.6, 301, None, None),
    ("deploy", 40.4, 0.38, 74, None, None),
    ("predict", 40.9, 4.4, 512, 28_135, 28_135),
    ("monitor", 45.4, 2.9, 388, 28_135, 28_135),
    ("notify", 48.4, 0.21, 61, None, None),
)
_SUMMARIES = {
    "ingest": "336,776 rows read from 1 file: 328,521 good, 8,255 dropped (dep_delay missing), 0 dead letters.",
    "validate": "22 columns checked against the reviewed schema: 0 blocking anomalies, 2 warnings.",
    "preprocess": "31 features of 328,521 rows: train to 2013-07, validation 2013-08, holdout to 2013-11.",
    "train": "HistGradientBoostingClassifier, 24 trials; threshold 0.37 by F1; ONNX equals scikit-learn to 1.3e-07.",
    "evaluate": "Accepted: ROC AUC 0.931 (0.928 to 0.934) against the champion's 0.924.",
    "register": "flights version 7 is new.",
    "deploy": "Champion: version 7, formerly version 6.",
    "predict": "28,135 rows of 2013-12 scored by version 7: 6,212 late.",
    "monitor": "No drift in 30 of 31 columns; temp has drifted (December against summer).",
    "notify": "Told the console.",
}


def finished(*, reused: tuple[str, ...] = ("ingest", "validate")) -> RunRecord:
    """A flights batch run with all its steps."""
    made = {}
    for name, after, seconds, memory, rows_in, rows_out in _TIMES:
        start = STARTED + after
        made[name] = StepRecord(
            name,
            "done",
            start,
            start + seconds,
            memory * 1_000_000,
            rows_in,
            rows_out,
            _SUMMARIES[name],
            report={"blocks": _BLOCKS[name]()} if name in _BLOCKS else {},
        )
    made["evaluate"] = replace(
        made["evaluate"],
        metrics={"roc_auc": 0.93112, "average_precision": 0.8449, "log_loss": 0.26071, "brier": 0.0781, "f1": 0.774},
        parameters={"verdict": "accepted", "model": "sha256:6f1c" + "0" * 60},
    )
    made["monitor"] = replace(made["monitor"], parameters={"drift": "no drift"})
    made["deploy"] = replace(made["deploy"], parameters={"champion": "7"})
    for name in reused:
        step = made[name]
        made[name] = replace(step, state="reused", ended=(step.started or 0) + 0.24, peak_memory=58_000_000)
    return RunRecord(
        "flights-batch-20251121-154640", "batch", "flights", ROUTE, made, "9c4e" * 16, STARTED, STARTED + 49.1
    )


def failed() -> RunRecord:
    """A run whose training failed."""
    error = (
        "features.py: 'dep_delay_min' must be float32 or text without null. Got float64 in 3 of 199,842 rows "
        f"(column {LONG}, {ODD}). Return it with .astype(np.float32)."
    )
    return _stopped("train", "failed", error)


def killed() -> RunRecord:
    """A run whose preprocess step left no word."""
    return _stopped("preprocess", "killed", "")


def empty() -> RunRecord:
    return RunRecord("flights-batch-none", "batch", "flights", (), {})


def hostile() -> RunRecord:
    """Every text of the record is one that tries to leave its place."""
    shown = [
        blocks.facts(HOSTILE, {HOSTILE: HOSTILE}),
        blocks.text(HOSTILE, HOSTILE),
        blocks.table(HOSTILE, [HOSTILE, "n"], [[HOSTILE, 1]]),
        blocks.verdict(False, [HOSTILE], title=HOSTILE),
        blocks.bars(HOSTILE, [HOSTILE], [1.0], unit=HOSTILE),
        blocks.lines(HOSTILE, {HOSTILE: ([0, 1], [0, 1])}, x=HOSTILE, y=HOSTILE),
        blocks.intervals(HOSTILE, [{"name": HOSTILE, "value": 1.0, "low": 0.0, "high": 2.0, "group": HOSTILE}]),
        blocks.histogram(HOSTILE, [0, 1, 2], {HOSTILE: [1, 2], HOSTILE + "2": [2, 1]}, note=HOSTILE),
        blocks.categories(HOSTILE, [HOSTILE], {HOSTILE: [1]}, note=HOSTILE),
        blocks.matrix(HOSTILE, [HOSTILE, "b"], [[1, 2], [3, 4]]),
        {"type": HOSTILE},
    ]
    step = StepRecord(
        HOSTILE,
        "failed",
        STARTED,
        STARTED + 1,
        1,
        1,
        1,
        HOSTILE,
        {HOSTILE: HOSTILE},
        {HOSTILE: 1.0},
        {"blocks": shown},
        HOSTILE,
    )
    return RunRecord(HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), {HOSTILE: step}, HOSTILE, STARTED, STARTED + 1)


def every_block() -> list[Block]:
    return [block for make in _BLOCKS.values() for block in make()]


def _stopped(at: str, state: str, error: str) -> RunRecord:
    run = finished(reused=())
    before = ROUTE[: ROUTE.index(at)]
    steps = {name: run.steps[name] for name in (*before, "notify")}
    start = run.steps[at].started or 0.0
    steps["notify"] = replace(steps["notify"], started=start + 9, ended=start + 9.3)
    ended = start + 8.6 if state == "failed" else None
    memory = 966_000_000 if state == "failed" else None
    steps[at] = StepRecord(at, state, start, ended, memory, error=error)  # type: ignore[arg-type]
    return replace(run, job=f"flights-batch-{state}", steps=steps, ended=start + 9.5)


def _ingest() -> list[Block]:
    counts = {"read": 336776, "good": 328521, "dead letter": 0, "duplicate": 0, "dropped": 8255, "incomplete": 0}
    return [
        blocks.bars("Where the rows went", list(counts), list(counts.values())),
        blocks.facts("Window", {"from": "2013-01-01T05:00:00Z", "to": "2014-01-01T05:00:00Z", "warm-up from": "none"}),
        blocks.table(
            "Sources", ["path", "bytes", "digest"], [["data/nycflights13/flights.csv", 31053850, "a1b2" * 16]]
        ),
    ]


def _validate() -> list[Block]:
    draw = random.Random(11)
    edges = [-60 + 20 * i for i in range(21)]
    heights = [round(40000 * math.exp(-(((i - 3.2) / 1.7) ** 2))) + round(1500 * math.exp(-i / 5)) for i in range(20)]
    rows = [
        [
            f"column_{i:02d}" if i != 7 else LONG,
            "number" if i % 3 else "string",
            328521 - i * 17,
            draw.random() / 10,
            None if not i % 3 else draw.gauss(0, 100),
            None if not i % 3 else draw.random() * 1e6,
        ]
        for i in range(60)
    ]
    carriers = ["UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX", "FL", "AS", "F9", "YV", "HA", "OO", ODD]
    shares = [round(58000 / (1 + 0.45 * i)) for i in range(len(carriers))]
    before = [share + 900 * (-1) ** i for i, share in enumerate(shares)]
    return [
        blocks.table(
            "Anomalies",
            ["column", "anomaly", "what"],
            [
                ["tailnum", "warning", "2,512 of 328,521 values are missing (0.76 %), the schema allows 0.5 %"],
                ["dest", "warning", f"a value that the schema does not list: {ODD}"],
            ],
        ),
        blocks.table("Columns", ["column", "type", "values", "missing", "mean", "greatest"], rows),
        blocks.histogram(
            "dep_delay", edges, {"this run": heights}, note="minutes; 1,214 values above 340 are left out"
        ),
        blocks.categories("carrier", carriers, {"this run": shares, "reference": before}),
    ]


def _preprocess() -> list[Block]:
    months = [f"2013-{m:02d}" for m in range(1, 13)]
    uses = ["train"] * 7 + ["validation"] + ["holdout"] * 3 + ["score"]
    rows = [27004, 24951, 28834, 28330, 28796, 28243, 29425, 29327, 27574, 28889, 27268, 28135]
    return [
        blocks.table(
            "Periods",
            ["period", "use", "rows", "positive"],
            [[m, u, n, 0.19 + 0.05 * math.sin(i)] for i, (m, u, n) in enumerate(zip(months, uses, rows, strict=True))],
        ),
        blocks.facts("Dead letters", {"rows": 0, "share": 0.0, "allowed share": 0.001}),
    ]


def _train() -> list[Block]:
    thresholds = [i / 199 for i in range(200)]
    f1 = [0.78 * math.exp(-((t - 0.37) ** 2) / 0.12) for t in thresholds]
    cost = [0.9 - 0.7 * math.exp(-((t - 0.31) ** 2) / 0.2) for t in thresholds]
    trials = list(range(1, 25))
    best = [0.9 + 0.031 * (1 - math.exp(-t / 6)) for t in trials]
    return [
        blocks.lines(
            "Threshold on validation", {"F1": (thresholds, f1), "cost": (thresholds, cost)}, x="threshold", y="value"
        ),
        blocks.lines("Search", {"best ROC AUC so far": (trials, best)}, x="trial", y="ROC AUC"),
        blocks.facts(
            "Model",
            {
                "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
                "identity": "6f1c" + "0" * 60,
                "learning_rate": "0.081",
                "max_leaf_nodes": 63,
                "proof": "1.3e-07 at most",
            },
        ),
    ]


def _evaluate() -> list[Block]:
    x = [i / 199 for i in range(200)]
    champion, challenger = [v ** (1 / 11) for v in x], [v ** (1 / 13.5) for v in x]
    bins = [0.05 + 0.1 * i for i in range(10)]
    seen: list[float] = [min(1, b + 0.03 * math.sin(9 * b)) for b in bins]
    seen[8] = math.nan
    metrics = [
        {"name": "roc_auc", "value": 0.93112, "low": 0.9281, "high": 0.9340, "bar": 0.9, "rows": 72640},
        {"name": "average_precision", "value": 0.8449, "low": 0.8391, "high": 0.8502, "bar": 0.8, "rows": 72640},
        {"name": "f1", "value": 0.774, "low": 0.7683, "high": 0.7791, "rows": 72640},
    ]
    slices = [
        {"name": n, "value": v, "low": v - w, "high": min(v + w, 1.0), "bar": 0.85, "rows": r, "group": g}
        for g, n, v, w, r in (
            ("origin", "EWR", 0.934, 0.005, 28101),
            ("origin", "JFK", 0.929, 0.006, 22985),
            ("origin", "LGA", 0.927, 0.006, 21554),
            ("carrier", "UA", 0.938, 0.007, 15210),
            ("carrier", "HA", 0.812, 0.12, 84),
            ("carrier", ODD, 0.871, 0.06, 312),
        )
    ]
    slices.append({"name": "OO", "value": None, "low": None, "high": None, "bar": 0.85, "rows": 3, "group": "carrier"})
    return [
        blocks.verdict(
            True,
            [
                "roc_auc 0.931 is at least its floor 0.9",
                "no slice of at least 200 rows is below its floor 0.85",
                "the difference to the champion is 0.0071 (0.0058 to 0.0085), above 0",
            ],
        ),
        blocks.intervals("Metrics on the holdout", metrics),
        blocks.intervals("Slices: roc_auc", slices),
        blocks.lines(
            "ROC",
            {"challenger": (x, challenger), "champion (version 6)": (x, champion)},
            x="false positive rate",
            y="true positive rate",
            diagonal=True,
        ),
        blocks.lines("Calibration", {"challenger": (bins, seen)}, x="predicted", y="observed", diagonal=True),
        blocks.matrix("Confusion on the holdout", ["0: on time", "1: late"], [[52106, 4410], [2981, 13143]]),
        blocks.bars(
            "Permutation importance",
            ["dep_delay", "sched_minutes_in_the_air", LONG, "wind_gust", "precip", "noise"],
            [0.3124, 0.0221, 0.0178, 0.0049, 0.0011, -0.0006],
            unit="ROC AUC",
        ),
    ]


def _predict() -> list[Block]:
    edges = [i / 20 for i in range(21)]
    counts = [round(9000 * math.exp(-i / 2.2)) + round(900 * math.exp(-((i - 18) ** 2) / 4)) for i in range(20)]
    return [blocks.histogram("Scores", edges, {"2013-12": counts}, note="The threshold is 0.37.")]


def _monitor() -> list[Block]:
    draw = random.Random(5)
    names = [f"feature_{i:02d}" for i in range(29)] + ["temp", "humid"]
    distances = sorted((draw.random() * 0.06 for _ in names), reverse=True)
    distances[0] = 0.212
    edges = [-math.inf, 33.1, 41.0, 48.9, 55.9, 62.1, 69.1, 75.9, 80.1, 84.9, math.inf]
    return [
        blocks.bars("Jensen-Shannon distance", ["temp", *names[:-2], "humid"], distances),
        blocks.histogram(
            "temp",
            edges,
            {
                "baseline": [1999, 2010, 2005, 1990, 2000, 2003, 1998, 2001, 1997, 1997],
                "2013-12": [9120, 7003, 4410, 3009, 2002, 1511, 700, 290, 80, 10],
            },
        ),
        blocks.table("Alarms", ["column", "measure", "value", "bar"], []),
        {"type": "of a later version", "title": "A block from the future", "what": [1, 2, 3]},
    ]


_BLOCKS = {
    "ingest": _ingest,
    "validate": _validate,
    "preprocess": _preprocess,
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "monitor": _monitor,
}

"""The colours of the report page, in its light and its dark scheme.

Text has a contrast of 4.5 or more on every ground it stands on, marks of 3 or more; a test computes it.
"""

from __future__ import annotations

LIGHT = {
    "ground": "#f6f5f2",
    "surface": "#ffffff",
    "sunken": "#f0efeb",
    "ink": "#1c1e22",
    "muted": "#595f69",
    "line": "#dddbd5",
    "grid": "#e9e7e2",
    "link": "#1f56b8",
    "belt": "#43474f",
    "roller": "#b9bec7",
    "amber": "#e8a317",
    "heat": "47 107 216",
    "s0": "#2f6bd8",
    "s1": "#bf5309",
    "s2": "#0b7f69",
    "s3": "#8f45c2",
    "s4": "#7a6a00",
    "s5": "#bb2573",
    "done": "#17693b",
    "on-done": "#e2f3e8",
    "reused": "#1c5aa6",
    "on-reused": "#e3eefb",
    "failed": "#ad211a",
    "on-failed": "#fde9e7",
    "killed": "#842080",
    "on-killed": "#f8e7f7",
    "running": "#7d4c00",
    "on-running": "#fcefd3",
    "not-started": "#565d67",
    "on-not-started": "#eeeeec",
}
DARK = {
    "ground": "#131519",
    "surface": "#1b1e23",
    "sunken": "#23272d",
    "ink": "#e9eaec",
    "muted": "#a5abb5",
    "line": "#343941",
    "grid": "#2a2e35",
    "link": "#8ab6ff",
    "belt": "#5a606b",
    "roller": "#c3c8d0",
    "amber": "#e8a317",
    "heat": "104 152 255",
    "s0": "#7aa7ff",
    "s1": "#ff9d57",
    "s2": "#4fd1b5",
    "s3": "#cf9bff",
    "s4": "#d8c24a",
    "s5": "#ff85c8",
    "done": "#74d79c",
    "on-done": "#17301f",
    "reused": "#8bbeff",
    "on-reused": "#172a42",
    "failed": "#ff9b94",
    "on-failed": "#421a17",
    "killed": "#f0a0ea",
    "on-killed": "#361734",
    "running": "#f3c268",
    "on-running": "#372a0c",
    "not-started": "#a9b0bb",
    "on-not-started": "#262a30",
}
STATES = ("done", "reused", "failed", "killed", "running", "not-started")


def variables(scheme: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in scheme.items())

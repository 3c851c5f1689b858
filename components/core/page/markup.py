"""Elements of HTML and SVG as text. Children are markup; what is not yet markup passes `shown.escape` first."""

from __future__ import annotations

import re

from components.core.record import State
from components.core.shown import escape

_EMPTY = frozenset({"circle", "line", "meta", "path", "polygon", "polyline", "rect"})
GLYPHS: dict[State, str] = {
    "done": '<path d="M2.5 8.5 6.3 12.2 13.5 4"/>',
    "reused": '<path d="M13 8a5 5 0 1 1-1.6-3.7M13.2 1.6v3.2H10"/>',
    "failed": '<path d="M3.5 3.5 12.5 12.5M12.5 3.5 3.5 12.5"/>',
    "killed": '<circle cx="8" cy="8" r="5.5"/><path d="M4.2 11.8 11.8 4.2"/>',
    "running": '<path d="M5 3.2 12.5 8 5 12.8z"/>',
    "not started": '<circle cx="8" cy="8" r="5.2" stroke-dasharray="2.6 2.8"/>',
}
"""What tells a state besides its colour, on a field of 16 by 16."""


def tag(name: str, /, *children: str, **attributes: object) -> str:
    """One element. `class_` stands for class, an underscore for a hyphen; attributes that are None are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY and not children:
        return f"<{name}{written}/>"
    return f"<{name}{written}>{''.join(children)}</{name}>"


def glyph(state: State) -> str:
    """The sign of a state, for a line of text; the word beside it says the same."""
    return tag("svg", GLYPHS.get(state, ""), class_="glyph", viewBox="0 0 16 16", aria_hidden="true")


def kind(state: str) -> str:
    """The style class of a state; of one that is unknown, that of a step which never started."""
    return (state if state in GLYPHS else "not started").replace(" ", "-")


def name(text: object) -> str:
    """A name that may break after its underscores, dots and slashes, and whose direction stays its own."""
    return tag("bdi", re.sub(r"([_./])(?=\w)", r"\1<wbr>", escape(text)))


def badge(state: State, words: str) -> str:
    return tag("span", glyph(state), escape(words), class_=f"badge is-{kind(state)}")


def anchor(name: str) -> str:
    """The fragment of a step's section."""
    return "step-" + re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def scroll(label: str, *children: str) -> str:
    """A box that scrolls by itself when its content is wider; reachable by keyboard, hence its name and role."""
    return tag("div", *children, class_="scroll", role="region", aria_label=label, tabindex=0)

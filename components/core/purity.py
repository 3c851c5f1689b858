"""The laws of the transform that a run shows rarely or never, sought by name in the source.

A clock or a file changes between runs, not within one. A sum over an axis, or a matmul, adds in another order for one
row than for many; the difference lies in the last bits of a float64 and reaches the float32 once in some 10^8 rows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from components.core.errors import FeatureError

# fmt: off
_MODULES = frozenset((
    "asyncio", "ctypes", "glob", "http", "io", "multiprocessing", "os", "pathlib", "pickle", "random", "secrets",
    "shutil", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
))
_CALLS = frozenset(("now", "today", "utcnow", "open", "input", "load", "loadtxt", "genfromtxt", "fromfile", "memmap"))
_SUMS = frozenset((
    "sum", "nansum", "mean", "nanmean", "average", "std", "nanstd", "var", "nanvar", "prod", "nanprod", "cumsum",
    "cumprod", "dot", "vdot", "inner", "matmul", "einsum", "tensordot", "convolve", "trapezoid",
))
# fmt: on
_EXACT = frozenset(("math", "statistics"))
"""Modules whose functions of these names are of one row's values."""


def check(sources: Mapping[str, bytes]) -> None:
    """Refuses Python files (text by path) that name a clock, chance, a file, or a sum over an axis.

    Raises
    ------
    FeatureError
        Names the file, what was found, and the line.
    """
    for name, data in sorted(sources.items()):
        for node in ast.walk(ast.parse(data)):
            line = f"line {getattr(node, 'lineno', 0)}"
            for found in _outside(node):
                rule = "use no clock, no random numbers and no files"
                raise FeatureError(name, rule, f"{found} in {line}", "Give what it needs as a column.", where=name)
            for found in _sums(node):
                rule = "add columns in written order"
                remedy = "A sum over an axis differs between one row and many: write a + b + c."
                raise FeatureError(name, rule, f"{found} in {line}", remedy, where=name)


def _outside(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"import {alias.name}" for alias in node.names if alias.name.split(".")[0] in _MODULES)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] in _MODULES:
        yield f"import {node.module}"
    elif isinstance(node, ast.Attribute) and node.attr == "random":
        yield "random"
    elif isinstance(node, ast.Call):
        called = _called(node.func)
        if called in _CALLS:
            yield f"{called}()"
        elif called == "datetime64" and any(getattr(a, "value", None) in ("now", "today") for a in node.args):
            yield "datetime64('now')"


def _sums(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
        yield "@"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        if node.func.attr == "reduce" and isinstance(owner, ast.Attribute):
            yield f"{owner.attr}.reduce()"
        elif node.func.attr in _SUMS and not (isinstance(owner, ast.Name) and owner.id in _EXACT):
            yield f"{node.func.attr}()"


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")

"""Which prebuilt environment stands for an image on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from components import types
from components.core.errors import SetupError

NAMES = {types.PIPELINE: "pipeline", types.VALIDATE: "validate", types.SERVER: "server"}
HOME = Path(__file__).resolve().parents[2]
"""The clone: its packages are what the tasks import, whatever the user's folder holds."""


def folder() -> Path:
    """Where the environments are: ESTEIRA_ENVIRONMENTS, or `.venvs` of the clone."""
    return Path(os.environ.get("ESTEIRA_ENVIRONMENTS") or HOME / ".venvs")


def python(image: str) -> Path:
    """The interpreter of an image's environment.

    Raises
    ------
    SetupError
        The image is none of ours, or its environment is not there.
    """
    remedy = "Run `make setup` in the clone."
    if image not in NAMES:
        raise SetupError("image", f"be one of {', '.join(NAMES)}", image, "Use --runner docker for images of your own.")
    path = folder() / NAMES[image] / "bin" / "python"
    if not path.exists():
        raise SetupError(f"environment {NAMES[image]}", "be installed", str(path), remedy)
    return path


def variables(image: str) -> dict[str, str]:
    """The environment variables of a task: its interpreter first on PATH, our packages and no others importable."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    own["PATH"] = f"{python(image).parent}{os.pathsep}{own.get('PATH', '')}"
    own["PYTHONPATH"] = str(HOME)
    own["PYTHONSAFEPATH"] = "1"
    own["OMP_WAIT_POLICY"] = "PASSIVE"  # a spinning thread on a busy machine made training 7 times slower
    own["OPENBLAS_NUM_THREADS"] = "1"  # more give other bits, and cost more than they bring on rows of this width
    return own

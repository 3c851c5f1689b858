"""The folder of a rehearsal: made anew with what is live, and held by one rehearsal at a time."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.adapters.connect import Connected
from components.core.errors import CaseError, ConflictError
from components.core.profile import Profile
from components.core.sections import TrackingAddress

FOLDER = "rehearsal"
_LOCK = "lock"
_BROUGHT = ("blobs/pointers", "blobs/bundles", "blobs/operations", "registry", "mlflow.db")
"""What of the profile's root a rehearsal begins with."""


@contextmanager
def own_folder(profile: Profile, case: str) -> Iterator[Profile]:
    """The rehearsal's profile, its folder begun anew and its own until this is left, also by a kill.

    Raises
    ------
    CaseError
        A part of the profile is not local: a rehearsal would change what it must not.
    ConflictError
        Another rehearsal is under way there.
    """
    for port in ("blobs", "tables", "registry", "endpoints"):
        adapter = getattr(profile, port).adapter
        if adapter != "local":
            rule = "be local for a rehearsal: it changes nothing elsewhere"
            remedy = "Take a local profile, or run stream, replay and fast there, each by its own command."
            raise CaseError(f"{port}.adapter", rule, adapter, remedy, where="profile")
    home = Path(profile.root) / FOLDER / case
    home.mkdir(parents=True, exist_ok=True)
    with open(home / _LOCK, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "Wait for its end, or take a profile with another root."
            raise ConflictError(
                "rehearsal", "be alone in its folder", "another one under way", remedy, where=str(home)
            ) from None
        _begin(profile, case, home)
        yield profile.model_copy(update={"root": str(home), "tracking": TrackingAddress(adapter="none")})


def _begin(profile: Profile, case: str, home: Path) -> None:
    for old in home.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name != _LOCK:
            old.unlink()
    if Connected(profile).endpoints.pointer(case).champion is not None:
        for part in _BROUGHT:
            source, target = Path(profile.root) / part, home / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            elif source.is_file():
                shutil.copy2(source, target)
    (home / "logs").mkdir()

"""As what a server's one version answers, for the log. The endpoint before it splits the traffic."""

from __future__ import annotations

import threading
from dataclasses import replace

from components.adapters.ports import Endpoints
from components.core.errors import EsteiraError
from components.core.inference import Role
from components.serving.say import say
from components.serving.versions import POLL, Versions


class Standing:
    """Keeps the role in `versions` as the pointer says it; a version that it does not name keeps its last one."""

    def __init__(self, versions: Versions, case: str, version: int, endpoints: Endpoints) -> None:
        self._versions, self._case, self._version, self._endpoints = versions, case, version, endpoints
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pointer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while True:
            self.look()
            if self._stop.wait(POLL):
                return

    def look(self) -> None:
        try:
            pointer = self._endpoints.pointer(self._case)
        except (EsteiraError, OSError) as error:
            self._versions.failures += 1
            say("ERROR", "pointer does not load", error=f"{type(error).__name__}: {error}")
            return
        named: dict[int | None, Role] = {pointer.challenger: "challenger", pointer.champion: "champion"}
        role = named.get(self._version, self._versions.state.role)
        if role != self._versions.state.role:
            self._versions.replace(replace(self._versions.state, role=role))
            say("INFO", "serving", version=self._version, role=role, generation=pointer.generation)

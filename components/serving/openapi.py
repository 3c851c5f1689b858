"""OpenAPI 3.1 of the server, built from the inputs of the model that it serves."""

from __future__ import annotations

from typing import Any

from components.serving.settings import Settings
from components.serving.versions import Served


def document(settings: Settings, case: str, champion: Served | None) -> dict[str, Any]:
    version = str(champion.version) if champion is not None else "0"
    return {"openapi": "3.1.0", "info": {"title": case, "version": version}, "paths": {settings.predict: {}}}

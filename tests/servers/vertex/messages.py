"""Vertex AI's messages without its forty clients, which whoever serves or tests would wait for in each process."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from components.adapters.gcp import vertex


def _alone(package: str) -> ModuleType:
    """The package's messages: those that the whole package has, if somebody imports it."""
    if package in sys.modules:
        return importlib.import_module(f"{package}.types")
    sys.modules[package] = stub = ModuleType(package)
    stub.__path__ = vertex.folders(package)
    try:
        return importlib.import_module(f"{package}.types")
    finally:
        del sys.modules[package]


if TYPE_CHECKING:
    from google.cloud import aiplatform_v1 as aiplatform_v1
    from google.cloud import aiplatform_v1beta1 as aiplatform_v1beta1
else:
    aiplatform_v1, aiplatform_v1beta1 = _alone(vertex.PACKAGE), _alone(vertex.PREVIEW)

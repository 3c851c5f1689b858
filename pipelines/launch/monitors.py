"""`esteira models monitor`: a case's monitor in Vertex AI Model Monitoring."""

from __future__ import annotations

from components.adapters.connect import Connected
from components.core import case_file
from components.core.errors import CaseError
from components.core.profile import Profile
from pipelines.launch import cases, hints, targets


def put(profile: Profile, case: str, version: int | None = None) -> tuple[str, str, int]:
    """Makes the monitor of a version (the champion's, where none is named), or brings it to what the case says.

    Its name, what was done, and the version. Raises CaseError where nothing is live, ArtifactError for a version that
    is none, and as `VertexMonitors.put`.
    """
    from components.adapters.gcp.monitoring import VertexMonitors

    found, ports = case_file.load(cases.find(case)), Connected(profile)
    monitors = VertexMonitors(targets.vertex(profile))
    chosen = version if version is not None else ports.endpoints.pointer(found.name).champion
    if chosen is None:
        remedy = f"Name a version: `{hints.esteira(f'models list {case}', profile.name)}`."
        raise CaseError("VERSION", "be given where nothing is live", "none", remedy)
    ports.registry.get(found.name, chosen)
    name, done = monitors.put(found, found, ports.registry.resource(found.name, chosen))
    return name, done, chosen

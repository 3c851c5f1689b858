"""A profile chooses Google's stores, and nothing of Google's is imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from components.adapters.connect import Connected
from components.adapters.gcp.blobs import CloudBlobs
from components.adapters.gcp.tables import CloudTables
from components.core.profile import Profile

GOOGLE = {
    "blobs": {"adapter": "google", "at": "gs://bucket/prefix"},
    "tables": {"adapter": "google", "at": "my-project.dataset"},
}


def test_a_profile_names_googles_stores():
    ports = Connected(Profile.from_json(Profile.model_validate(GOOGLE).to_json()))
    assert isinstance(ports.blobs, CloudBlobs)
    assert isinstance(ports.tables, CloudTables)


@pytest.mark.parametrize("port", GOOGLE)
def test_googles_store_without_an_address_is_refused(port):
    with pytest.raises(ValidationError, match=f"in {port}.at, which {port}.adapter: google needs"):
        Profile.model_validate({port: {"adapter": "google"}})


def test_googles_clients_are_imported_when_they_are_used():
    text = (
        "import sys; from components.adapters.gcp import blobs, tables; "
        "blobs.CloudBlobs('gs://bucket/x'); tables.CloudTables('my-project.d'); "
        "print([name for name in sys.modules if name.startswith(('google.cloud.', 'google.a', 'grpc'))])"
    )
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

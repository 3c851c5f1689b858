"""Artifact types of Google's that Vertex AI's console links to the resource itself, without Google's package.

They name a resource and hold no file: `components.present` fills them in. kfp.local and Kubeflow keep them as plain
artifacts, so a consumer may read `uri` and `metadata` only.
"""

from kfp import dsl


class VertexModel(dsl.Artifact):  # type: ignore[misc]  # kfp is untyped
    """A version in Vertex AI's Model Registry."""

    schema_title = "google.VertexModel"
    schema_version = "0.0.1"


class VertexEndpoint(dsl.Artifact):  # type: ignore[misc]  # kfp is untyped
    """An endpoint of Vertex AI's."""

    schema_title = "google.VertexEndpoint"
    schema_version = "0.0.1"


class BQTable(dsl.Artifact):  # type: ignore[misc]  # kfp is untyped
    """A table of BigQuery's."""

    schema_title = "google.BQTable"
    schema_version = "0.0.1"

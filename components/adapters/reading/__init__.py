"""Objects of a source as rows of the declared types."""

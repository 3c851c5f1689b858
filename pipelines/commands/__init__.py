"""The commands in groups; `pipelines.cli` puts them together."""

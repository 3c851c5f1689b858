"""The pipelines, how they are launched, and the command line."""

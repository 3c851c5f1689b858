"""The embedded defaults: files, DuckDB and SQLite, with nothing to start."""

"""BigQuery's emulator, with a connection to its database for each of its threads: run by the emulator's own Python.

All of its threads share one, and Python's lock is taken in the middle of it: a Storage Write beside a query and neither
ever ends (bqemulator 1.4.0).
"""

from __future__ import annotations

import threading
from typing import Any

from bqemulator.cli import main
from bqemulator.storage.engine import DuckDBEngine

_own = threading.local()
_shared: Any = DuckDBEngine.connection.fget


def connection(engine: DuckDBEngine) -> Any:
    shared = _shared(engine)
    if threading.current_thread() is threading.main_thread():
        return shared
    if getattr(_own, "of", None) is not shared:
        _own.of, _own.cursor = shared, shared.cursor()
    return _own.cursor


DuckDBEngine.connection = property(connection)

if __name__ == "__main__":
    main()

"""Vertex AI's contract server by itself, for `make servers`: until it is told to end.

python -m tests.servers.google PORT
"""

from __future__ import annotations

import signal
import sys
import threading

from tests.servers import http
from tests.servers.vertex.server import PARENT, Vertex


def main(port: int) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    service = Vertex()
    try:
        with http.serving(service, port) as server:
            print(f"{PARENT} at {server.address}", flush=True)
            ended.wait()
    finally:
        service.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""`python load.py PORT TOKEN CONNECTIONS`: asks without a pause until its standard input ends or the server listens no more.

A failure is an answer other than 200 or 503, or a connection that ends without the answer to a request that the
server had accepted: one on a connection that it had answered on without saying `connection: close`.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from http.client import HTTPConnection, HTTPException

BODY = b'{"instances": [{"x": 1, "z": 0, "kind": "p"}]}'


class Worker(threading.Thread):
    """One client, one request after the other."""

    def __init__(self, port: int, token: str, stop: threading.Event) -> None:
        super().__init__()
        self._port, self._ending = port, stop
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.found: Counter[str] = Counter()
        self.failures: list[str] = []

    def run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        fresh = True
        while not self._ending.is_set():
            try:
                if connection.sock is None:
                    fresh = True  # refused before it was let in, it is no failure either
                    connection.connect()
                connection.request("POST", "/predict", BODY, self._headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, HTTPException) as error:
                if not fresh:
                    self.failures.append(repr(error))
                break
            fresh = False
            self.found[f"{answer.status} {answer.headers.get('x-model-version')}"] += 1
            if answer.status == 503 and not answer.headers.get("retry-after"):
                self.failures.append("503 without retry-after")
            elif answer.status not in (200, 503):
                self.failures.append(f"status {answer.status}")
        connection.close()


def main(port: int, token: str, connections: int) -> None:
    stop = threading.Event()
    workers = [Worker(port, token, stop) for _ in range(connections)]
    for worker in workers:
        worker.start()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    for worker in workers:
        worker.join()
    total: Counter[str] = sum((worker.found for worker in workers), Counter())
    print(json.dumps({"answers": total, "failures": [text for worker in workers for text in worker.failures]}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

"""The stream of one case as a process; `esteira stream` starts it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from components.adapters import bundles
from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.adapters.local.log_events import hold
from components.core import bundle
from components.core.errors import ConflictError, EsteiraError
from components.core.profile import Profile
from components.streaming.loop import GROUP, Limits, Loop, Status
from components.streaming.mirror import Mirror
from components.streaming.progress import Progress, summary
from components.streaming.retention import Retention


def main(arguments: list[str] | None = None) -> int:
    asked = _parse(arguments)
    try:
        status = run(asked)
    except EsteiraError as error:
        print(f"esteira: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(asdict(status), sort_keys=True) if asked.json else summary(status))
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m components.streaming", description=__doc__)
    parser.add_argument("--bundle", required=True, help="the digest of the case's bundle")
    parser.add_argument("--profile", required=True, help="the profile as JSON")
    parser.add_argument("--lateness", required=True, type=int, help="seconds")
    parser.add_argument("--retention", type=int, help="seconds that the log keeps what is done with; else for ever")
    parser.add_argument("--until-idle", type=float, help="end after this many seconds without a message")
    parser.add_argument("--most", type=int, help="end after this many messages")
    parser.add_argument("--json", action="store_true", help="the last status as JSON")
    return parser.parse_args(arguments)


def run(asked: argparse.Namespace) -> Status:
    """Streams until a limit or a signal ends it, after the batch under way."""
    profile = Profile.from_json(asked.profile)
    ports = Connected(profile)
    with tempfile.TemporaryDirectory(prefix="esteira-stream-") as scratch:
        case = bundle.read(bundles.fetch(ports, asked.bundle, Path(scratch)), asked.bundle).case()
    folder = profile.path("events") / case.name
    limits = Limits(asked.until_idle, asked.most)

    def stop(*_: object) -> None:
        limits.stopped = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    progress = Progress(case.name)
    retention = Retention(Log(folder), asked.retention, progress.say)

    def report(status: Status) -> None:
        progress.report(status)
        retention.report(status)

    with (
        closing(_held(folder, case.name)),
        _fed(profile, ports, case.name, limits, progress.say),
    ):
        try:
            return Loop(ports, Log(folder), case, asked.lateness, progress.say, report).run(limits)
        finally:
            progress.end()


def _held(folder: Path, case: str) -> IO[bytes]:
    """The case's stream is this process, until the file is closed. Raises ConflictError where another one is."""
    try:
        return hold(folder / "groups" / f".{GROUP}.lock", GROUP)
    except ConflictError as error:
        remedy = f"Another `esteira stream {case}` is running; end it first."
        raise ConflictError("case", "be streamed by one process at a time", case, remedy, where=error.where) from error


@contextmanager
def _fed(profile: Profile, ports: Connected, case: str, limits: Limits, say: Callable[[str], None]) -> Iterator[None]:
    """While a topic elsewhere is copied into the log; a log that is the topic itself needs none."""
    if profile.events.adapter != "pubsub":
        yield
        return

    def failed(error: EsteiraError) -> None:
        limits.failure = error

    log, ahead = Log(profile.path("events") / case), profile.events.ahead
    mirror = Mirror(ports.events, log, case, GROUP, say, failed, ahead=ahead)
    mirror.start()
    try:
        yield
    finally:
        mirror.stop()


if __name__ == "__main__":
    sys.exit(main())

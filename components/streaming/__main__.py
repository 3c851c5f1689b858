"""The stream of one case as a process; `esteira stream` starts it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from components.adapters import bundles
from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.adapters.local.log_events import hold
from components.core import bundle
from components.core.errors import EsteiraError
from components.core.profile import Profile
from components.streaming.loop import GROUP, Limits, Loop, Status
from components.streaming.mirror import Mirror
from components.streaming.progress import Progress, summary


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

    def failed(error: EsteiraError) -> None:
        limits.failure = error

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    progress = Progress(case.name)
    with closing(hold(folder / "groups" / f".{GROUP}.lock", GROUP)):
        mirror = None
        if profile.events.adapter == "pubsub":
            mirror = Mirror(ports.events, Log(folder), case.name, GROUP, progress.say, failed)
            mirror.start()
        try:
            return Loop(ports, Log(folder), case, asked.lateness, progress.say, progress.report).run(limits)
        finally:
            if mirror is not None:
                mirror.stop()
            progress.end()


if __name__ == "__main__":
    sys.exit(main())

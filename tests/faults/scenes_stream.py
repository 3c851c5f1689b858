"""The stream's scenes: a log to its tables, and a topic elsewhere mirrored into that log."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.adapters.local.log import Log
from components.adapters.ports import Message
from components.core import bundle
from components.core.errors import EsteiraError
from components.step import Launch, fetch_bundle
from components.streaming import loop, mirror
from components.streaming.loop import Limits, Loop
from components.streaming.mirror import Mirror
from tests.faults.world import Launching, World, tables_state
from tests.streaming.conftest import LATENESS, NAME, make_stream, messages

SENT = messages(60, seed=3, bad=0.05)
TOPIC = "elsewhere"
PATIENCE = 60.0
TRIES = 10


class Streamed:
    """A log of events, labels, late, repeated and bad messages to its tables."""

    def prepare(self, root: Path, launch: Launching) -> Launch:
        made = make_stream(root, launch)  # type: ignore[arg-type]
        made.point(made.register())
        self._publish(made.log, made)
        return made.toy.launch

    def _publish(self, log: Log, made: Any) -> None:
        log.append(SENT)

    def play(self, world: World) -> None:
        loop.MOST, loop.PACE = 30, 0.0
        folder = fetch_bundle(world.ports, world.launch.bundle, world.out / "bundles")
        case = bundle.read(folder, world.launch.bundle).case()
        said: list[str] = []
        Loop(world.ports, self._log(world), case, LATENESS, said.append).run(Limits(idle=0.0))
        if self._log(world).committed(loop.GROUP)[0] < self._log(world).end:
            raise SystemExit(f"events wait: {said}")  # no version could be loaded

    def _log(self, world: World) -> Log:
        return Log(world.ports.profile.path("events") / NAME)

    def state(self, world: World) -> dict[str, Any]:
        offset, note = self._log(world).committed(loop.GROUP)
        self._conserved(note["counts"], offset)
        return tables_state(world.ports) | {"offset": offset, "counts": note["counts"]}

    def _conserved(self, counts: dict[str, int], offset: int) -> None:
        assert counts["read"] == offset
        assert counts["read"] == counts["good"] + counts["dead_letter"] + counts["late"] + counts["duplicate"]

    def seen(self, world: World) -> None:
        """Every message is in the log, once; every row has its own offset."""
        log = self._log(world)
        assert log.end == len(SENT)
        assert log.committed(loop.GROUP)[0] <= log.end
        for windows in tables_state(world.ports)["tables"].values():
            found = [row["_arrival"] for rows in windows.values() for row in rows]
            assert len(set(found)) == len(found)


class Mirrored(Streamed):
    """The same messages in a topic elsewhere: at least once into the log, exactly once into the tables."""

    def _publish(self, log: Log, made: Any) -> None:
        made.ports.events.subscribe(TOPIC, loop.GROUP).close()  # a group begins with its first subscription
        made.ports.events.publish(TOPIC, SENT)

    def play(self, world: World) -> None:
        mirror.MOST, mirror.WAIT, mirror._AGAIN = 25, 0.0, 0.01
        log, failed, said = self._log(world), list[EsteiraError](), list[str]()
        copying = Mirror(world.ports.events, Log(log.folder), TOPIC, loop.GROUP, said.append, failed.append)
        until = time.monotonic() + PATIENCE
        copying.start()
        try:
            while not failed and len(said) < TRIES and not self._copied(world):
                assert time.monotonic() < until, "it never came"
                time.sleep(0.005)
        finally:
            copying.stop()
        if failed or len(said) == TRIES:
            raise SystemExit(str([*failed, *said][0]))
        super().play(world)

    def _copied(self, world: World) -> bool:
        """Whether all that was sent stands in the log."""
        log = self._log(world)
        return set(_keys(log.read(log.first, log.end))) == set(_keys(SENT))

    def state(self, world: World) -> dict[str, Any]:
        """What is delivered again is a duplicate; else nothing differs but the offsets."""
        offset, note = self._log(world).committed(loop.GROUP)
        self._conserved(note["counts"], offset)
        if world.ports.profile.events.adapter == "pubsub":
            # Its emulator puts what was not acknowledged behind the rest, where the service keeps a key's order: late.
            return {"whole": self._copied(world)}
        tables = tables_state(world.ports)["tables"]
        rows = {
            name: sorted(
                str(sorted((k, v) for k, v in row.items() if k not in ("_arrival", "_offset")))
                for window in tables.get(name, {}).values()
                for row in window
            )
            for name in ("live_toy", "labels_toy")
        }
        return {"rows": rows, "good": note["counts"]["good"]}

    def seen(self, world: World) -> None:
        """What was sent stands in the log, in its order, some of it more than once."""
        log = self._log(world)
        assert set(_keys(log.read(log.first, log.end))) <= set(_keys(SENT))


def _keys(sent: list[Message]) -> list[tuple[bytes, str]]:
    return [(message.data, str(sorted(asdict(message)["attributes"].items()))) for message in sent]

"""What the fault schedules play: a few steps each over some hundred rows, and what must come of them in the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.adapters import release
from components.adapters.ports import Ports
from components.canary import task as canary
from components.core import artifacts
from components.core.errors import ConflictError
from components.deploy import task as deploy
from components.ingest import task as ingest
from components.monitor import task as monitor
from components.notify import task as notify
from components.predict import task as predict
from components.preprocess import task as preprocess
from components.register import task as register
from components.step import Launch
from tests.canary.conftest import Canary, Traffic
from tests.faults.world import Launching, World, digests, live_state, tables_state, whole_or_absent
from tests.ingest.conftest import Desk, csv_of, order
from tests.preprocess.conftest import Bench, parcels
from tests.toy import NAME, Toy, columns, toy, write_rows

SHIFTED = ((-2.0, 2.0), (0.5, -0.5))


class Ingest:
    """Files to events: good, bad, repeated, dropped and incomplete rows, and a reference table."""

    OUTPUTS = ("events", "references", "dead_letter")

    def prepare(self, root: Path, launch: Launching) -> Launch:
        desk = Desk(root, launch)  # type: ignore[arg-type]  # it names the profile's keys, as ours does
        desk.case["require"] = ["amount"]
        places = {"name": {"type": "string"}, "size": {"type": "number"}}
        source = {"path": "places.csv"}
        desk.case["references"] = {
            "places": {"source": source, "columns": places, "by": {"city": "name"}, "take": ["size"]}
        }
        rows = [order(37 * number) for number in range(80)]
        rows += [*rows[:7], *(order(37 * number + 1, amount=None) for number in range(5))]
        desk.put("orders.csv", csv_of(rows) + b"x,soon,,,,\n" * 8)
        desk.put("places.csv", "name,size\nPorto,3\nFaro,4\n")
        return desk.launch()

    def play(self, world: World) -> None:
        ingest.run(world.launch, **world.places(*self.OUTPUTS))

    def state(self, world: World) -> dict[str, Any]:
        counts = artifacts.read_manifest(world.out / "events").info["counts"]
        assert counts["read"] == sum(n for name, n in counts.items() if name != "read")
        return {"counts": counts, "digests": digests(world.out, self.OUTPUTS)}

    def seen(self, world: World) -> None:
        whole_or_absent(world.out, self.OUTPUTS)


class Preprocess:
    """Events to features through Beam."""

    OUTPUTS = ("features", "holdout", "score", "dead_letter")

    def prepare(self, root: Path, launch: Launching) -> Launch:  # the bench launches for itself
        bench = Bench(root)
        bench.give(parcels(4), rain=96)
        return bench.launch()

    def play(self, world: World) -> None:
        given = {name: str(world.inputs / "artifacts" / name) for name in ("events", "references", "statistics")}
        preprocess.run(world.launch, **given, **world.places(*self.OUTPUTS))

    def state(self, world: World) -> dict[str, Any]:
        assert not (world.out / "dead_letter" / "job").exists()
        return {"digests": digests(world.out, self.OUTPUTS)}

    def seen(self, world: World) -> None:
        whole_or_absent(world.out, self.OUTPUTS)


class Gate:
    """What follows the gate: a version, a champion, predictions, their drift, and whoever is told."""

    def prepare(self, root: Path, launch: Launching) -> Launch:
        here = toy(root, launch)  # type: ignore[arg-type]
        here.promote(here.model("first"))
        here.ports.registry.project(NAME, {"champion": 1})
        january = write_rows(root / "january", columns(60, start="2021-01-28T00"))
        predict.run(here.launch, score=str(january), predictions=str(root / "out"), purpose="predict")
        here.evaluation("evaluation", here.model("model", SHIFTED), champion=1)
        write_rows(root / "score", columns(140, seed=1, start="2021-01-28T00"))
        return here.launch

    def play(self, world: World) -> None:
        evaluation, score = str(world.inputs / "evaluation"), str(world.inputs / "score")
        made = register.run(world.launch, model=str(world.inputs / "model"), evaluation=evaluation)
        deploy.run(world.launch, version=made.parameters["version"], evaluation=evaluation)
        out = world.places("predictions", "monitoring")
        predict.run(world.launch, score=score, predictions=out["predictions"], purpose="predict")
        monitor.run(world.launch, score=score, **out)
        notify.run(world.launch, pipeline="batch", state="SUCCEEDED")

    def state(self, world: World) -> dict[str, Any]:
        found = json.loads((world.out / "monitoring" / "monitoring.json").read_bytes())
        made = digests(world.out, ("predictions",))
        return live_state(world.ports) | tables_state(world.ports) | {"digests": made, "monitoring": found}

    def seen(self, world: World) -> None:
        """The champion is one that verifies; a window holds one version's rows; the watermark comes last."""
        ports = world.ports
        pointer = ports.endpoints.pointer(NAME)
        assert pointer.champion in (1, 2)
        artifacts.verify(ports.registry.fetch(NAME, pointer.champion), "model")
        versions = {
            window: {row["version"] for row in rows}
            for window, rows in tables_state(ports)["tables"]["predictions_toy"].items()
        }
        assert all(len(found) == 1 for found in versions.values())
        moved = "2021-03-01" in (live_state(ports)["watermark"] or "")
        assert not moved or versions == {"2021-01": {2}, "2021-02": {2}}
        whole_or_absent(world.out, ("predictions", "monitoring"))


class Canaried:
    """A new version as challenger, traffic in a server's log, and the canary that promotes it."""

    def prepare(self, root: Path, launch: Launching) -> Launch:
        settings = {"requests": 100, "deadline": "1d", "error_rate": 0.05, "agreement": 0.8}
        here = toy(root, launch, canary=settings)  # type: ignore[arg-type]
        release.promote(here.ports, NAME, here.register(here.model("first")), by="ana", why="")
        here.evaluation("evaluation", here.model("model", ((-3.0, 3.0), (0.0, 0.0))), champion=1)
        return here.launch

    def play(self, world: World) -> None:
        evaluation = str(world.inputs / "evaluation")
        made = register.run(world.launch, model=str(world.inputs / "model"), evaluation=evaluation)
        version = made.parameters["version"]
        deploy.run(world.launch, version=version, evaluation=evaluation, mode="canary")
        self._served(world)
        canary.run(world.launch, version=version, **world.places("canary"))

    def _served(self, world: World) -> None:
        """What a server logs meanwhile, once."""
        pointer = world.ports.endpoints.pointer(NAME)
        if pointer.challenger is not None:
            traffic = Canary(Toy(world.inputs, world.launch), since=pointer.at)
            with suppress(ConflictError):
                traffic.serve(Traffic(1), Traffic(2))

    def state(self, world: World) -> dict[str, Any]:
        ports = world.ports
        live = live_state(ports)
        del live["history"]  # why a version was promoted holds measured times
        live["pointer"]["why"] = ""
        artifacts.verify(world.out / "canary", "canary")
        return live | tables_state(ports)

    def seen(self, world: World) -> None:
        states = [(p.champion, p.challenger) for p in world.ports.endpoints.history(NAME)]
        assert states == [(1, None), (1, 2), (2, None)][: len(states)]
        whole_or_absent(world.out, ("canary",))


class Commands:
    """Releases by hand, one after the other."""

    def prepare(self, root: Path, launch: Launching) -> Launch:
        here = toy(root, launch)  # type: ignore[arg-type]
        for number in range(1, 5):
            here.register(here.model(f"m{number}", ((-2.0, 2.0), (number / 2, -number / 2))))
        for version in (1, 2):
            release.promote(here.ports, NAME, version, by="ana", why="")
        return here.launch

    def play(self, world: World) -> None:
        how: dict[str, Any] = {"by": "ana", "why": ""}
        commands: list[Callable[[Ports], release.Change]] = [
            lambda ports: release.abort(ports, NAME, **how),
            lambda ports: release.begin_canary(ports, NAME, 4, 20, **how),
            lambda ports: release.abort(ports, NAME, **how),
            lambda ports: release.begin_canary(ports, NAME, 3, 20, **how),
            lambda ports: release.begin_canary(ports, NAME, 3, 50, **how),
            lambda ports: release.promote(ports, NAME, 3, **how),
            lambda ports: release.rollback(ports, NAME, to=1, **how),
        ]
        for command in commands:
            change = command(world.ports)
            if change.behind:
                raise SystemExit(f"{change.done}, but: {change.behind}")

    def state(self, world: World) -> dict[str, Any]:
        live = live_state(world.ports)
        live["pointer"] |= {"generation": 0, "previous": 0}  # more than one way leads here
        live["versions"] = [version[:2] for version in live["versions"]]
        del live["history"]
        self._agreed(world)
        return live

    def seen(self, world: World) -> None:
        ports = world.ports
        now, history = ports.endpoints.pointer(NAME), ports.endpoints.history(NAME)
        assert [p.generation for p in history] == list(range(1, now.generation + 1))
        assert history[-1] == now
        assert (now.split > 0) == (now.challenger is not None)

    def _agreed(self, world: World) -> None:
        """Aliases are the pointer's roles."""
        ports = world.ports
        now = ports.endpoints.pointer(NAME)
        found = {alias: v.version for v in ports.registry.versions(NAME) for alias in v.aliases}
        wanted = {"champion": now.champion, "challenger": now.challenger, "previous": now.previous}
        assert found == {role: version for role, version in wanted.items() if version is not None}

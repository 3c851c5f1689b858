"""The prediction server beside MLServer and `mlflow models serve`: one scikit-learn model, one worker each.

    python benchmarks/serving.py [--rounds 5] [--seconds 5] [--connections 8]

A scaler and a logistic regression over four numbers, one row a request. Ours scores it as ONNX behind validation, the
token and the inference log; the rivals score the same fitted pipeline, without any of these. A fourth is our own server
with uvicorn's HTTP in the place of its own, everything else the same. wrk (of the distribution's packages) asks over
keep-alive connections, from the same machine. After a warm-up the servers take turns, one at a time under load while
the others idle; the table shows medians over the rounds.

Then ours alone, with as many connections as its queue holds, and twice as many: what it refuses, it must refuse at
once, and what it accepts answer in time.

Targets: at least 8 times MLServer's requests per second with at most a fifth of its p99; 12 times MLflow's; at twice
the saturation a p99 of accepted requests of at most 250 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from common import report
from served import servers
from served.servers import Server
from served.trained import Trained, logged, rows

SCRIPT = Path(__file__).parent / "served" / "load.lua"
WARMUP = 2
QUEUE = 256
"""What the case's `serving.queue` says by default."""
Found = dict[str, Any]
Contender = tuple[Server, subprocess.Popen[bytes]]


def load(server: Server, bodies: Path, seconds: int, connections: int, *, each: bool = False) -> Found:
    """wrk's findings; times are milliseconds."""
    environment = {"LOAD_BODIES": str(bodies), "LOAD_TOKEN": server.token} | ({"LOAD_EACH": "1"} if each else {})
    given = {key: value for key, value in environment.items() if value}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), server.address]
    done = subprocess.run(command, env=os.environ | given, check=True, capture_output=True, text=True)
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found | {"rate": found["requests"] / found["seconds"]}


def write_bodies(server: Server, folder: Path) -> Path:
    target = folder / f"{server.name}.txt"
    target.write_text("".join(json.dumps(server.body(row)) + "\n" for row in rows(256).tolist()))
    return target


def check_equal(contenders: Sequence[Server]) -> float:
    """The largest difference between their answers to the same rows."""
    answers = [[servers.ask(server, row) for row in rows(20, seed=9).tolist()] for server in contenders]
    largest = max(abs(a - b) for others in answers[1:] for a, b in zip(answers[0], others, strict=True))
    if largest > 1e-5:
        sys.exit(f"the servers do not serve the same model: their answers differ by {largest}")
    return largest


def contend(contenders: Sequence[Contender], folder: Path, arguments: argparse.Namespace) -> dict[str, list[Found]]:
    """The findings of every round by server, all servers in every round; with the processor time of a request."""
    bodies = {server.name: write_bodies(server, folder) for server, _ in contenders}
    found: dict[str, list[Found]] = {server.name: [] for server, _ in contenders}
    for server, _ in contenders:
        load(server, bodies[server.name], WARMUP, arguments.connections)
    for _ in range(arguments.rounds):
        for server, process in contenders:
            before = servers.cpu_seconds(process)
            each = load(server, bodies[server.name], arguments.seconds, arguments.connections)
            each["cpu"] = (servers.cpu_seconds(process) - before) / each["requests"] * 1e6
            found[server.name].append(each)
    return found


def saturate(server: Server, folder: Path, seconds: int) -> dict[str, Found]:
    """With as many connections as the queue holds, and twice as many, all of which ask again at once."""
    bodies = write_bodies(server, folder)
    return {f"{c} connections": load(server, bodies, seconds, c, each=True) for c in (QUEUE, 2 * QUEUE)}


def medians(found: Sequence[Found]) -> Found:
    middle: Found = {key: statistics.median(each[key] for each in found) for key in ("rate", "p50", "p99", "cpu")}
    return middle | {"errors": sum(each["refused"] + each["broken"] for each in found)}


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    trained = Trained(folder)
    pipeline = trained.pipeline()
    own, asgi = servers.ours(trained), servers.by_asgi(trained)
    rivals = [asgi, servers.mlserver(folder / "mlserver", pipeline), servers.mlflow(folder / "mlflow", pipeline)]
    with ExitStack() as stack:
        contenders = [
            (server, stack.enter_context(servers.running(server, folder / f"{server.name}.log")))
            for server in (own, *rivals)
        ]
        contenders.append((servers.by_open_inference(own), contenders[0][1]))
        more: Found = {"largest difference": check_equal([server for server, _ in contenders])}
        found = contend(contenders, folder, arguments)
    show(found, more | logged(trained) | {"load average": os.getloadavg()[0]})
    with servers.running(own, folder / "saturated.log"):
        show_saturated(saturate(own, folder, arguments.seconds))


def show(found: dict[str, list[Found]], more: Found) -> None:
    middle = {name: medians(each) for name, each in found.items()}
    own, asgi, mlserver, mlflow = (middle[n] for n in ("esteira", "esteira on uvicorn", "MLServer", "MLflow"))
    table = [
        [name, *(each[key] for key in ("rate", "p50", "p99", "cpu", "errors")), own["rate"] / each["rate"]]
        for name, each in middle.items()
    ]
    columns = ["", "requests/s", "p50 ms", "p99 ms", "CPU us a request", "errors", "esteira's requests/s are times"]
    ratios = {
        "times MLServer's requests/s (target: 8)": own["rate"] / mlserver["rate"],
        "of MLServer's p99 (target: 0.2)": own["p99"] / mlserver["p99"],
        "times MLflow's requests/s (target: 12)": own["rate"] / mlflow["rate"],
        "of MLflow's p99": own["p99"] / mlflow["p99"],
        "times its own requests/s on uvicorn": own["rate"] / asgi["rate"],
        "of its own p99 on uvicorn": own["p99"] / asgi["p99"],
    }
    rounds = {name: [round(each["rate"]) for each in rates] for name, rates in found.items()}
    report("serving", columns, table, ratios | more | {"requests/s by round": rounds})


def show_saturated(found: dict[str, Found]) -> None:
    table = []
    for name, each in found.items():
        accepted, refused = each["accepted"], each["statuses"].get("503", 0)
        others = each["requests"] - accepted["count"] - refused + each["broken"]
        share = refused / each["requests"]
        times = [accepted["p50"], accepted["p99"], accepted["max"]]
        table.append([name, accepted["count"] / each["seconds"], share, *times, others])
    columns = ["", "accepted/s", "share of 503s", "p50 ms", "p99 ms (target: 250)", "max ms", "neither"]
    report("serving-saturated", columns, table, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        print("serving: skipped without 'wrk', which the system's packages have: apt-get install wrk")
        return
    with tempfile.TemporaryDirectory() as temporary:
        measure(Path(temporary), arguments)


if __name__ == "__main__":
    main()

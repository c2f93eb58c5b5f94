"""A served device on the loopback link: round trips, updates, throughput, clients in turn, bytes on the wire.

python benchmarks/serve.py [--target mzi64] [--json out.json]

The same simulator in this process is the reference. Run it on an idle machine: everything here is wall time.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from options import Options
from torch import nn

import lightloom as ll
from lightloom.runtime.errors import DeviceError

SERVE = [sys.executable, "-P", "-m", "lightloom.cli", "serve", "--address", "tcp://127.0.0.1:0", "-t"]


def main() -> None:
    parser = Options(__doc__, "zmq")
    parser.add_argument("--target", default="mzi64")
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 12])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    target = ll.targets.get(options.target)
    programs = versions(target)
    x = torch.randn(options.batch, target.mesh.ports)
    facts: dict[str, Any] = {"target": target.name, "ports": target.mesh.ports, "batch": options.batch}
    with subprocess.Popen([*SERVE, options.target], stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None:
            raise SystemExit("the server has no output")
        address = server.stdout.readline().split()[-1]
        served = ll.devices.connect(address, timeout_s=60)
        facts["round_trip"] = spread([timed(served.driver.status) for _ in range(options.repeats)])  # type: ignore[attr-defined]
        facts["served"] = measure(served, programs, x, options.repeats)
        facts["clients"] = [
            {"clients": count, **in_turn(address, count, programs[0], x[:256])} for count in options.clients
        ]
        served.close()
        server.terminate()
    facts["in_process"] = measure(ll.devices.simulator(target), programs, x, options.repeats)
    facts["ratio"] = facts["served"]["run"]["median_s"] / facts["in_process"]["run"]["median_s"]
    print(text(facts))
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2))


def versions(target: ll.Target) -> list[ll.Program]:
    """One layer of a single tile, before and after a small step of its weights."""
    torch.manual_seed(0)
    ports = target.mesh.ports
    layer = nn.Linear(ports, ports).eval()
    before = ll.compile(layer, torch.zeros(1, ports), target=target)
    with torch.no_grad():
        layer.weight.add_(1e-5 * torch.randn(ports, ports))
    return [before, ll.compile(layer, torch.zeros(1, ports), target=target)]


def measure(device: ll.devices.Device, programs: list[ll.Program], x: torch.Tensor, repeats: int) -> dict[str, Any]:
    """A session: one vector at a time, one vector on weights that change every time, and whole batches."""
    facts: dict[str, Any] = {}
    with device.reserve() as session:

        def bytes_of(program: ll.Program, vectors: torch.Tensor) -> dict[str, int]:
            before = session.usage.bytes_sent, session.usage.bytes_received
            session.run(program, vectors)
            return {"sent": session.usage.bytes_sent - before[0], "received": session.usage.bytes_received - before[1]}

        for name, vectors in (("configure", x[:1]), ("light", x[:1]), ("run", x)):
            facts[f"{name}_bytes"] = bytes_of(programs[0], vectors)
        facts["light"] = spread([timed(session.run, programs[1], x[:1]) for _ in range(repeats)])
        facts["update"] = spread([timed(session.run, programs[turn % 2], x[:1]) for turn in range(repeats)])
        facts["run"] = spread([timed(session.run, programs[1], x) for _ in range(max(repeats // 20, 7))])
        facts["vectors_per_s"] = len(x) / facts["run"]["median_s"]
    facts["updates"] = [update(device, programs, x[:1], threshold_rad) for threshold_rad in (0.0, 2e-3, 1e-2)]
    return facts


def update(
    device: ll.devices.Device, programs: list[ll.Program], x: torch.Tensor, threshold_rad: float
) -> dict[str, float]:
    """The step of the weights sent to a chip that holds the old ones: share of the settings written, and bytes."""
    with device.reserve(threshold_rad=threshold_rad) as session:
        session.run(programs[0], x)
        settings, sent = session.usage.phases_written, session.usage.bytes_sent
        session.run(programs[1], x)
        return {
            "threshold_rad": threshold_rad,
            "written_share": (session.usage.phases_written - settings) / settings,
            "rms_deviation_rad": session.usage.rms_deviation_rad,
            "bytes_sent": session.usage.bytes_sent - sent,
        }


def in_turn(address: str, clients: int, program: ll.Program, x: torch.Tensor, seconds: float = 5.0) -> dict[str, Any]:
    """Clients that reserve, run five times and release, as often as they can; a refused one tries again soon."""
    runs, refused = [0] * clients, [0] * clients
    end = time.monotonic() + seconds

    def work(place: int) -> None:
        rng = random.Random(place)
        device = ll.devices.connect(address, timeout_s=60)
        while time.monotonic() < end:
            try:
                session = device.reserve(f"client {place}")
            except DeviceError:
                refused[place] += 1
                time.sleep(rng.uniform(0.001, 0.01))
                continue
            with session:
                for _ in range(5):
                    session.run(program, x)
                    runs[place] += 1
        device.close()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(clients)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    return {
        "runs_per_s": sum(runs) / took,
        "vectors_per_s": sum(runs) * len(x) / took,
        "refused": sum(refused),
        "fewest_runs": min(runs),
    }


def timed(does: Any, *args: Any) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    does(*args)
    return time.perf_counter() - start


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {"median_s": float(np.median(seconds)), "p99_s": float(np.percentile(seconds, 99))}


def text(facts: dict[str, Any]) -> str:
    """The figures as lines."""

    def line(what: str, found: dict[str, float]) -> str:
        return f"{what:34} median {1e3 * found['median_s']:8.2f} ms, 99 % below {1e3 * found['p99_s']:8.2f} ms"

    lines = [f"{facts['target']}, one tile of {facts['ports']} ports, loopback", line("status", facts["round_trip"])]
    for name in ("in_process", "served"):
        found, where = facts[name], name.replace("_", " ")
        lines.append(line(f"{where}: run of 1 vector", found["light"]))
        lines.append(line(f"{where}: update and run of 1 vector", found["update"]))
        lines.append(line(f"{where}: run of {facts['batch']} vectors", found["run"]))
        lines.append(f"{f'{where}: throughput':34} {found['vectors_per_s'] / 1e3:.0f} k vectors/s")
    lines.append(f"served / in process, {facts['batch']} vectors: {facts['ratio']:.2f}")
    found = facts["served"]
    for name, what in (
        ("configure", "first run of 1 vector"),
        ("light", "a later one"),
        ("run", f"run of {facts['batch']} vectors"),
    ):
        count = found[f"{name}_bytes"]
        lines.append(f"bytes, {what}: {count['sent']} sent, {count['received']} received")
    for step in found["updates"]:
        lines.append(
            f"bytes, run of 1 vector after a step of the weights, threshold {step['threshold_rad']:g} rad: "
            f"{step['bytes_sent']} sent, {step['written_share']:.0%} of the settings written"
        )
    for found in facts["clients"]:
        lines.append(
            f"{found['clients']:3} clients in turn, five runs of 256 vectors each time: "
            f"{found['runs_per_s']:.0f} runs/s, {found['vectors_per_s'] / 1e3:.0f} k vectors/s, "
            f"{found['refused']} refusals, {found['fewest_runs']} runs at least for each"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

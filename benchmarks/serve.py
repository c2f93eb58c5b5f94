"""Round trips and throughput of a served device against the same simulator in this process.

python benchmarks/serve.py [--target mzi64] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import lightloom as ll


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="mzi64")
    parser.add_argument("--round-trips", type=int, default=500)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    target = ll.targets.get(options.target)
    ports = target.mesh.ports
    program = ll.compile(nn.Linear(ports, ports).eval(), torch.zeros(1, ports), target=target)
    x = torch.randn(options.batch, ports)
    command = [
        sys.executable,
        "-P",
        "-m",
        "lightloom.cli",
        "serve",
        "-t",
        options.target,
        "--address",
        "tcp://127.0.0.1:0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        served = ll.devices.connect(address)
        facts: dict[str, Any] = {"target": target.name, "batch": options.batch}
        facts["round_trip_us"] = round_trips(served.driver, options.round_trips)
        facts["served"] = runs(served, program, x)
        served.close()
        server.terminate()
    facts["in_process"] = runs(ll.devices.simulator(target), program, x)
    facts["ratio"] = facts["served"]["second_run_s"] / facts["in_process"]["second_run_s"]
    trip = facts["round_trip_us"]
    print(f"{target.name}, one tile of {ports} ports, {options.batch} vectors a run, loopback")
    print(f"round trip       median {trip['median']:.0f} us, 99 % below {trip['p99']:.0f} us")
    for name in ("in_process", "served"):
        run = facts[name]
        first, later = (f"{1e3 * run[key]:.1f} ms" for key in ("first_run_s", "second_run_s"))
        rate = f"{run['vectors_per_s'] / 1e3:.0f} k vectors/s"
        print(f"{name.replace('_', ' '):16} first run {first}, later {later}, {rate}")
    print(f"served / in process, later runs: {facts['ratio']:.2f}")
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2))


def round_trips(driver: Any, count: int) -> dict[str, float]:
    """Microseconds of a status request and its answer."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        driver.status()
        times.append(1e6 * (time.perf_counter() - start))
    return {"median": float(np.median(times)), "p99": float(np.percentile(times, 99))}


def runs(device: ll.devices.Device, program: ll.Program, x: torch.Tensor) -> dict[str, float]:
    """Seconds of the first run of a session and of later ones (median of 7)."""
    with device.reserve() as session:
        times = []
        for _ in range(8):
            start = time.perf_counter()
            session.run(program, x)
            times.append(time.perf_counter() - start)
    later = float(np.median(times[1:]))
    return {"first_run_s": times[0], "second_run_s": later, "vectors_per_s": len(x) / later}


if __name__ == "__main__":
    main()

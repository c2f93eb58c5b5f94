"""A client that fights for a device, without torch: reserves, configures, streams, checks what comes back, releases.

Run as a process: ``contender.py ADDRESS SECONDS SEED [die]``; prints a JSON line of what happened. With ``die`` it
kills itself while it holds the device.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time

import numpy as np

from lightloom.runtime.errors import DeviceError
from lightloom.runtime.remote.link import Link

PORTS, PHASES = 4, 16


def header(sequence: int, configuration: int, batch: int) -> dict[str, object]:
    tile = ["bank", 0, 0, [0, 0, 0], [1, 1, 1]]
    return {"tile": tile, "numbers": [0, 0, batch, configuration, 0, sequence]}


def fight(address: str, seconds: float, seed: int, die: bool, results: list[dict[str, object]]) -> None:
    rng = random.Random(seed)
    link = Link(address, timeout_s=30)
    held: list[tuple[float, float]] = []
    refused = windows = 0
    faults: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            link.reserve(1)
        except DeviceError as error:
            if "reserved by another client" not in str(error):
                faults.append(str(error))
            refused += 1
            time.sleep(rng.uniform(0.005, 0.05))
            continue
        start = time.monotonic()
        words = np.zeros(PHASES, np.uint32)
        arrays = {
            "left": words,
            "right": words,
            "attenuators": np.zeros(PORTS, np.uint32),
            "adc_full_scale": np.ones(PORTS, np.float32),
        }
        fields = {"phase_bits": 8, "attenuator_bits": 8, "lit_ports": PORTS, "measure_offset": False}
        link.call("configure", {"header": header(1, 1, 0), **fields}, arrays)
        if die:
            os.kill(os.getpid(), signal.SIGKILL)
        for turn in range(rng.randint(1, 4)):
            vectors = rng.randint(1, 5)
            codes = np.full((2, vectors, PORTS), float(seed % 200), np.float32)
            mine = header(2 + turn, 1, seed * 1000 + turn)
            link.call("stream", {"header": mine}, {"codes": codes})
            answer = link.call("read_out", {"header": mine})
            if answer.fields["header"] != mine or not np.array_equal(answer.arrays["codes"], codes):
                faults.append(f"another client's window: {answer.fields['header']}")
            windows += 1
        stop = time.monotonic()
        link.release()
        held.append((start, stop))
    link.close()
    results.append({"held": held, "refused": refused, "windows": windows, "faults": faults})


def main() -> None:
    address, seconds, seed, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    die = sys.argv[5:] == ["die"]
    results: list[dict[str, object]] = []
    workers = [
        threading.Thread(target=fight, args=(address, seconds, seed * 100 + place, die, results))
        for place in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps(results))


if __name__ == "__main__":
    main()

"""How large the page of a program is, and how long a browser takes to open it.

    python benchmarks/report.py [m.loom ...] [--net resnet50] [--target mzi64] [--cores 1] [--json PATH]

Without files a network of random weights is compiled. ``write_s``: the page from a program that is scheduled and
priced; ``ready_s``: from the start of navigation until the page's script has drawn every figure, as the browser's own
clock says, in headless Chromium; ``browser_s``: the whole process, beside ``empty_s`` for a page without anything;
``complaints``: lines on the console, errors and warnings alike. Medians of ``--repeats``. Wanted: below 5 MB and 2 s,
no complaint.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from harness import finish, seconds
from options import Options, require

import lightloom as ll
from lightloom.models.vision import torchvision_network
from lightloom.runtime.report.program_page import program_page

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--window-size=1280,1000", "--dump-dom", "--enable-logging=stderr"),
)
CLOCK = """<script>
const told = document.createElement("pre"); document.body.offsetHeight;
told.id = "ready"; told.textContent = String(performance.now()); document.body.append(told);
</script></body>"""


def opened(browser: str, text: str, folder: Path) -> tuple[float, float, int]:
    """Seconds until ready and of the whole process, and lines on the console."""
    (folder / "page.html").write_text(text.replace("</body>", CLOCK), encoding="utf-8")
    start = time.perf_counter()
    ran = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    whole = time.perf_counter() - start
    found = re.search(r'<pre id="ready">([\d.]+)</pre>', ran.stdout)
    if found is None:
        raise SystemExit(f"the page never was ready:\n{ran.stderr[-2000:]}")
    return float(found.group(1)) / 1000, whole, ran.stderr.count(":CONSOLE:")


def measured(program: ll.Program, browser: str, repeats: int) -> dict[str, Any]:
    """One row of the table."""
    body, schedule, energy = program.body, program.schedule, program.energy
    text = program_page(body, schedule, energy)
    empty = "<!DOCTYPE html><title>empty</title><body></body>"
    times: dict[str, list[float]] = {"ready_s": [], "browser_s": [], "empty_s": []}
    complaints = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):  # in turns: a slow phase of the machine hits both
            ready, whole, lines = opened(browser, text, Path(folder))
            times["ready_s"].append(ready)
            times["browser_s"].append(whole)
            times["empty_s"].append(opened(browser, empty, Path(folder))[1])
            complaints = max(complaints, lines)
    return {
        "program": body.name,
        "tiles": sum(bank.spec.tiles for bank in body.banks.values()),
        "events": len(schedule),
        "page_MB": len(text.encode()) / 1e6,
        "write_s": seconds(lambda: program_page(body, schedule, energy), repeats),
        **{name: statistics.median(values) for name, values in times.items()},
        "complaints": complaints,
    }


def main() -> None:
    """Parse arguments, measure, print."""
    parser = Options(__doc__, torchvision="without files")
    parser.add_argument("files", nargs="*", type=Path, help="compiled programs")
    parser.add_argument("--net", default="resnet50")
    parser.add_argument("--target", default="mzi64")
    parser.add_argument("--cores", type=int, default=None)
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the results here too")
    given = parser.parse_args()
    if not given.files:
        require("torchvision")
    if given.browser is None:
        raise SystemExit("no Chromium found: say where it is with --browser")
    programs = [ll.load(path) for path in given.files]
    if not programs:
        target = ll.targets.get(given.target)
        target = target if given.cores is None else target.with_({"mesh.cores": given.cores})
        programs = [ll.compile(torchvision_network(given.net), torch.zeros(2, 3, 224, 224), target=target)]
    rows = [measured(program, given.browser, given.repeats) for program in programs]
    finish("report", rows, ["wanted: page_MB < 5, ready_s < 2, no complaints"])


if __name__ == "__main__":
    main()

"""The command that serves a simulated chip."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import DEFAULT_TARGET, TargetOption


def serve(
    target: TargetOption = None,
    address: Annotated[str, typer.Option(metavar="tcp://HOST:PORT", help="Port 0 takes a free one.")] = (
        "tcp://127.0.0.1:5555"
    ),
    lease: Annotated[float, typer.Option(help="Seconds of silence after which a client loses the device.")] = 5.0,
) -> None:
    """Serve the simulator of a chip to other processes, one client at a time, until interrupted."""
    from ..runtime import targets
    from ..runtime.remote.server import serve_simulator

    chip = targets.get(target or DEFAULT_TARGET)
    cores = f"{chip.mesh.cores} core{'s' * (chip.mesh.cores != 1)}"
    announcement = f"serving {chip.name} ({cores}) at "
    serve_simulator(chip, address, lease, lambda place: print(announcement + place, flush=True))

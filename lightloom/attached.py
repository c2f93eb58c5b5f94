"""Which functions check and show what the runtime's tables hold: see :mod:`.runtime.forms`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def maker(name: str) -> Callable[..., Any]:
    """The function of a form. Imported when asked for: reports bring the whole runtime with them."""
    if name == "schedule.verify":
        from .runtime.scheduling.check import verify

        return verify
    if name == "schedule.perfetto":
        from .runtime.report.perfetto import write_trace

        return write_trace
    from .runtime.report import notebook

    return {"schedule.html": notebook.schedule_html, "energy.html": notebook.energy_html}[name]

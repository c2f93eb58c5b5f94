"""The energy of a run as the page shows it: joules by layer and item, of configuration and execution apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..pricing.energy import EnergyReport
from ..pricing.events import EVENT_NAMES, EVENTS
from ..pricing.ledger import IDLE, ITEMS, PARTS
from ..program import ProgramBody
from .packing import packed
from .tables import micro


def energy_data(body: ProgramBody, energy: EnergyReport) -> dict[str, Any]:
    """Rows by items, float64; rows without any energy are left out."""
    paths = {step.name: step.path or step.name for step in body.steps}
    execution, configuration = energy.execution.joules, energy.configuration.joules
    kept = np.flatnonzero(execution.any(1) | configuration.any(1))
    events = energy.events()
    amortised = energy.amortised.by_item()
    return {
        "parts": list(PARTS),
        "idle": IDLE,
        "event_names": list(EVENT_NAMES),
        "events": [
            [micro(c.text(value)) if value else "" for c, value in zip(events.columns, row, strict=True)]
            for row in events.rows
            if row[1] or row[3]
        ],
        "event_header": [column.heading for column in events.columns],
        "items": [
            {"item": item, "part": part, "event": EVENTS[item], "static": static, "inference_j": amortised[item]}
            for item, (part, static) in ITEMS.items()
        ],
        "rows": [paths.get(energy.execution.rows[row], energy.execution.rows[row]) for row in kept],
        "execution": packed(execution[kept], np.float64),
        "configuration": packed(configuration[kept], np.float64),
        "total_j": energy.total_j,
        "inference_j": energy.amortised_j,
    }

"""The chip as the step executor drives it: requests numbered, what each buffer holds, and what happens counted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from ..device import Header, PhotonicDevice, TileId
from ..pricing.event_counts import Counts, configure_counts, stream_counts
from ..pricing.occupancy import active_rows, chain_ends
from ..program import ProgramBody
from ..scheduling.check_cores import first_tiles
from ..scheduling.latency import spills
from ..scheduling.plan import Dataflow
from ..scheduling.schedule import Schedule
from .tiledriver import Settings, TileDriver
from .tilework import TileWork, tiles_by_place

Key = tuple[str | int, int]
"""A tile by bank and row, or a product's by step and number."""


class TileUse(NamedTuple):
    """What a request is about: a tile, on a core, for a step.

    ``step``: index of the step; ``bank``, ``row``: where the tile is; ``key``: what it is told apart by; ``driver``:
    of its bank.
    """

    step: int
    bank: str
    row: int
    core: int
    key: Key
    driver: TileDriver


class ChipLine:
    """Configures and streams tiles of a program on a device.

    Args:
        body: the program. device: reserved by the caller.
        block_bytes: largest window in bytes of im2col vectors. calibration: number that requests carry.

    ``counts`` holds what happened so far, ``preloaded`` the configurations before the run.
    """

    def __init__(self, body: ProgramBody, device: PhotonicDevice, block_bytes: int, calibration: int) -> None:
        self.counts = Counts()
        self.preloaded = Counts()
        self._body = body
        self._device = device
        self._block_bytes = block_bytes
        self._calibration = calibration
        self._buffers = body.target.mesh.buffers
        self._only_changes = body.target.mesh.writes == "changed"
        self._from_dram = spills(body)
        self._number = {name: index for index, name in enumerate(body.banks)}
        self._columns = {name: tiles_by_place(bank) for name, bank in body.banks.items()}
        self._rows = {name: active_rows(bank) for name, bank in body.banks.items()}
        self._ends: dict[tuple[str, Dataflow], np.ndarray] = {}
        self._turns: dict[int, int] = {}  # configurations of each core so far
        self._held: dict[tuple[int, int], tuple[Key, int]] = {}  # by core and buffer: tile, number of the configuration
        self._settings: dict[tuple[int, int], Settings | None] = {}  # what was last written there, where it matters
        self._sequence = 0

    def preload(self, schedule: Schedule, drivers: dict[str, TileDriver]) -> None:
        """Bring the cores to where a warm schedule begins: a core's k-th configuration into buffer k mod buffers."""
        if not schedule.turns.size:
            return
        counted, self.counts = self.counts, Counts()
        first = first_tiles(self._body)
        names, starts = list(first), np.array(list(first.values()))
        reader = {name: index for index, step in reversed([*enumerate(self._body.steps)]) for name in _banks(step)}
        for core, turns in enumerate(schedule.turns.tolist()):
            for turn in range(max(turns - self._buffers, 0), turns):
                tile = int(schedule.resident[core, turn % self._buffers]) if schedule.resident.size else -1
                if tile >= 0:
                    name = names[int(np.searchsorted(starts, tile, side="right")) - 1]
                    row = tile - first[name]
                    self._turns[core] = turn
                    self.configure(TileUse(reader[name], name, row, core, (name, row), drivers[name]))
            self._turns[core] = turns
        self.preloaded, self.counts = self.counts, counted

    def configure(self, use: TileUse) -> None:
        """Program a tile into the buffer whose turn it is. Raises DeviceError where the device refuses."""
        core, spec = use.core, self._body.banks[use.bank].spec
        turn = self._turns.get(core, 0)
        self._turns[core] = turn + 1
        place = (core, turn % self._buffers)
        header = self._header(use, 0, self._sequence + 1)
        use.driver.configure(self._device, header, place[1])
        self._held[place] = (use.key, header.configuration)
        written = None
        if self._only_changes:
            # a schedule cannot know the settings of a tile that the run computes: all are written, to it and from it
            before, settings = self._settings.get(place), None if spec.dynamic else use.driver.settings(use.row)
            if before is not None and settings is not None:
                written = sum(int((old != new).sum()) for old, new in zip(before, settings, strict=True))
            self._settings[place] = settings
        self.counts += configure_counts(spec, 1, written=written, from_dram=self._from_dram)

    def stream(
        self,
        use: TileUse,
        work: TileWork,
        first: int,
        vectors: int,
        *,
        offset: int = 0,
        dataflow: Dataflow = "weight",
    ) -> None:
        """Send a block of vectors through a tile that its core holds, a window at a time.

        Args:
            work: whose vectors they are, and who takes the results. first, vectors: which of them.
            offset: index in the run of the work's first vector. dataflow: what the block's numbers cost.

        Raises:
            VerifyError: a block that does not fit. DeviceError: what the device refuses.
        """
        name, row, step = use.bank, use.row, self._body.steps[use.step]
        bank = self._body.banks[name]
        work.take(row, first, vectors, step.path or step.name)
        group, line, column = (int(bank.columns[axis][row]) for axis in ("group", "row", "col"))
        low = column * bank.spec.ports
        high = min(low + bank.spec.ports, bank.spec.cols)
        window = max(1, self._block_bytes // max(1, work.source.bytes_each))
        held = self._configuration(use)
        parts: list[torch.Tensor] = []
        for begin in range(first, first + vectors, window):
            x = work.source.range(begin, min(window, first + vectors - begin), group, low, high)
            x = F.pad(x, (0, low + bank.spec.ports - high))
            parts.append(use.driver.send(self._device, self._header(use, offset + begin, held), x))
        work.add(row, first, (group, line), self._columns[name][group, line], torch.cat(parts))
        self.counts += stream_counts(
            self._body.target_for(name),
            vectors,
            vectors * int(self._rows[name][row]),
            vectors * (high - low),
            dataflow,
            vectors * int(self._ends_of(name, dataflow)[row]),
        )

    def _configuration(self, use: TileUse) -> int:
        """Number of the configuration that a core holds a tile by; of a tile that no buffer holds 0, which the device
        refuses."""
        held = (self._held.get((use.core, buffer)) for buffer in range(self._buffers))
        return max((number for key, number in filter(None, held) if key == use.key), default=0)

    def _header(self, use: TileUse, first: int, configuration: int) -> Header:
        bank = self._body.banks[use.bank]
        spec = bank.spec
        group, row, column = (int(bank.columns[axis][use.row]) for axis in ("group", "row", "col"))
        grid = (spec.groups, spec.grid_rows, spec.grid_cols)
        identity = TileId(use.bank, self._number[use.bank], use.row, (group, row, column), grid)
        self._sequence += 1
        return Header(identity, use.core, use.step, first, configuration, self._calibration, self._sequence)

    def _ends_of(self, name: str, dataflow: Dataflow) -> np.ndarray:
        if (name, dataflow) not in self._ends:
            self._ends[name, dataflow] = chain_ends(self._body.banks[name], dataflow)
        return self._ends[name, dataflow]


def _banks(step: object) -> tuple[str, ...]:
    return getattr(step, "banks", ())

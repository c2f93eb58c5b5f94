"""A recurrent step in the step executor: which window comes next, and what happens between windows."""

from __future__ import annotations

from torch import Tensor

from ..errors import VerifyError, complaint
from ..program import BankSpec, ProgramBody, RecurrentStep
from ..recurrent import Recurrence, first_vector
from .tilework import TileWork


class Loop:
    """A recurrent step under way, tile by tile.

    Args:
        body: the program. step: the step.
        state: at its first time step.
        bias: of the hidden products, in the dtype of the run.

    ``work`` is what the tiles of the current window add up to, in ``bank``, from the vector of index ``first`` on.
    """

    def __init__(self, body: ProgramBody, step: RecurrentStep, state: Recurrence, bias: Tensor | None) -> None:
        self.step = step
        self.state = state
        self._bias = bias
        self._specs: tuple[BankSpec, ...] = tuple(body.banks[name].spec for name in step.banks)
        self._phase = 0
        self.work = self._window(state.h)

    @property
    def bank(self) -> str:
        """The bank that the current window goes through."""
        return self.step.banks[self._phase]

    @property
    def first(self) -> int:
        """Index in the run of the current window's first vector."""
        return first_vector(self.state.time, projection=self._phase == 1)

    @property
    def done(self) -> bool:
        """Whether every time step is done."""
        return self.state.time == self.state.times

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send: no samples, or no time steps."""
        return not self.work.vectors or not self.state.times

    def streamed(self) -> None:
        """A tile of the current window has come back: with the projection's last one the time step ends."""
        if self._phase == 1 and not self.work.left:
            self._advance(self.work.total(self._specs[1]))

    def gates(self) -> None:
        """The host's part of the time step. Raises VerifyError before all hidden products are there."""
        if self._phase or self.work.left or self.done:
            raise VerifyError(
                complaint(
                    "the schedule runs the gates of a recurrent layer out of turn",
                    where=self.step.path or self.step.name,
                    got=f"time step {self.state.time}, {self.work.left} vectors to go",
                )
            )
        product = self.work.total(self._specs[0])
        h = self.state.gates(product if self._bias is None else product + self._bias)
        if len(self._specs) == 1:
            self._advance(h)
            return
        self._phase = 1
        self.work = self._window(h)
        self.streamed()  # a projection without a tile is done at once

    def finish_empty(self) -> None:
        """Run the time steps of an empty batch, which has no schedule."""
        while not self.done:
            self.work.left = 0
            self.gates() if self._phase == 0 else self._advance(self.work.total(self._specs[1]))

    def _advance(self, h: Tensor) -> None:
        self.state.advance(h)
        self._phase = 0
        self.work = self._window(h)

    def _window(self, x: Tensor) -> TileWork:
        return TileWork.of(x, self._specs[self._phase])


def bank_and_row(body: ProgramBody, step: RecurrentStep, tile: int) -> tuple[str, int]:
    """The bank of a recurrent step's tile, counted through all its banks, and its row in that bank's table."""
    for name in step.banks:
        tiles = body.banks[name].spec.tiles
        if tile < tiles:
            return name, tile
        tile -= tiles
    raise VerifyError(complaint("no such tile", where=step.path or step.name, got=tile))

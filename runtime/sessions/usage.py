"""What a session used: requests, settings written, what that took in time and energy, and what it left undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..targets.schema import Target


@dataclass
class SessionUsage:
    """What a session did so far.

    - ``runs``; ``windows`` and ``vectors`` streamed; ``seconds`` that it was open, known at its end;
    - ``configures``: configurations sent, ``updates`` of them as changes only; ``kept``: found in place, nothing sent;
    - ``phases_written``: phase shifters and attenuators whose code was written; ``phases_kept``: those that a
      configuration asked for and that stayed, being equal or within the session's threshold;
    - ``largest_deviation_rad``, ``rms_deviation_rad``: how far settings stay from what was asked for, over all settings
      asked for. An attenuator counts with the same share of its range as a phase with its share of a turn;
    - ``bytes_sent``, ``bytes_received``: over the link to a served device, else 0;
    - ``configure_s``, ``control_j``: what the configurations sent take by the device's target: ``reconfigure_s`` of an
      empty buffer, ``update_s`` of one that holds a setting; ``reconfigure_j_per_phase`` for each setting written.
      None where the target is not known.
    """

    runs: int = 0
    configures: int = 0
    updates: int = 0
    kept: int = 0
    phases_written: int = 0
    phases_kept: int = 0
    largest_deviation_rad: float = 0.0
    windows: int = 0
    vectors: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    configure_s: float | None = None
    control_j: float | None = None
    seconds: float = 0.0
    _target: Target | None = field(default=None, repr=False)
    _squares: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        if self._target is not None:
            self.configure_s = self.control_j = 0.0

    @property
    def rms_deviation_rad(self) -> float:
        """Root mean square of what is left between settings asked for and realised."""
        asked = self.phases_written + self.phases_kept
        return float(np.sqrt(self._squares / asked)) if asked else 0.0

    def asked(self, written: int, settings: int, left_rad: np.ndarray | None) -> None:
        """A configuration has been asked for: so many settings written of so many; what is left of each."""
        self.phases_written += written
        self.phases_kept += settings - written
        if left_rad is not None and len(left_rad):
            self.largest_deviation_rad = max(self.largest_deviation_rad, float(left_rad.max()))
            self._squares += float(np.dot(left_rad, left_rad))

    def sent(self, written: int, first: bool) -> None:
        """A configuration has been sent, which writes so many settings, into an empty buffer if it is the first."""
        self.configures += 1
        if self._target is None or self.configure_s is None or self.control_j is None:
            return
        timing = self._target.timing
        update_s = timing.reconfigure_s if timing.update_s is None else timing.update_s
        self.configure_s += timing.reconfigure_s if first else update_s
        self.control_j += written * self._target.energy.reconfigure_j_per_phase

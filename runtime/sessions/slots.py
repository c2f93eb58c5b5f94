"""Which buffer of which core holds what, over the runs of a session.

A run asks for a tile on a core of its schedule. The session may put it elsewhere: where exactly this setting is,
where an older version of the tile is, or on a core that is still empty, so that several programs stay on the chip side
by side. Requests go to a device one after the other, so copies of a tile on several cores of a schedule are served by
one; otherwise a buffer serves one buffer of the schedule in a run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..errors import DeviceError, complaint
from .updates import Change, change, comparable

if TYPE_CHECKING:
    from ..device import ConfigureRequest, ConfigureResponse, TileId

Slot = tuple[int, int]
"""A core and one of its buffers, counted from 0."""
_Key = TypeVar("_Key")

NEWER_RAD = np.pi / 4
"""Settings further apart than this, on average of those that differ, are of other weights, not of a newer version of
the same ones. Unrelated weights are 1 rad apart and more; after a training step phases jump too, where two singular
values come close, but not most of them."""


@dataclass(frozen=True, eq=False)
class Held:
    """What a buffer holds: the configuration as it is realised, what the device answered, and its number."""

    request: ConfigureRequest
    response: ConfigureResponse
    key: bytes


class Slots:
    """The buffers of a device that one session has for itself."""

    def __init__(self, cores: int, buffers: int = 1) -> None:
        self._cores = cores
        self._held: dict[Slot, Held] = {}
        self._by_key: dict[bytes, dict[Slot, None]] = {}
        self._by_tile: dict[TileId, dict[Slot, None]] = {}
        self._serves: dict[Slot, Slot] = {}  # the schedule's buffer -> the one that serves it in this run
        self._idle: dict[Slot, None] = {}  # serve nothing in this run, in order
        self._empty: dict[Slot, None] = {}  # idle, and hold nothing
        self._buffers = 0
        self._grow(buffers)

    def __getitem__(self, slot: Slot) -> Held | None:
        """What a buffer holds, None for nothing known."""
        return self._held.get(slot)

    def find(self, wanted: Slot, request: ConfigureRequest, threshold_rad: float) -> tuple[Slot, Change | None]:
        """A buffer for a configuration, from now on serving ``wanted``; and the change from what it holds, if anything.

        Where :func:`in_place`, nothing is to be sent.
        """
        self._grow(wanted[1] + 1)
        before = self._serves.pop(wanted, None)
        if before is not None and before not in self._serves.values():
            self._put_back(before)
        slot, found = self._choose(wanted, request, threshold_rad)
        self._idle.pop(slot, None)
        self._empty.pop(slot, None)
        self._serves[wanted] = slot
        if found is None:
            held = self._held.get(slot)
            if held is not None and comparable(held.request, request):
                found = change(held.request, request, threshold_rad)
        return slot, found

    def hold(self, slot: Slot, request: ConfigureRequest, response: ConfigureResponse) -> None:
        """A buffer has been configured."""
        self.forget(slot)
        key = content(request)
        self._held[slot] = Held(request, response, key)
        self._by_key.setdefault(key, {})[slot] = None
        self._by_tile.setdefault(request.header.tile, {})[slot] = None

    def forget(self, slot: Slot) -> None:
        """What a buffer holds is not known any more."""
        held = self._held.pop(slot, None)
        if held is None:
            return
        _drop(self._by_key, held.key, slot)
        _drop(self._by_tile, held.request.header.tile, slot)

    def end_run(self) -> None:
        """The schedule's cores serve nothing any more; what they hold stays."""
        for slot in dict.fromkeys(self._serves.values()):
            self._put_back(slot)
        self._serves.clear()

    def _put_back(self, slot: Slot) -> None:
        self._idle[slot] = None
        if slot not in self._held:
            self._empty[slot] = None

    def _choose(self, wanted: Slot, request: ConfigureRequest, threshold_rad: float) -> tuple[Slot, Change | None]:
        same = self._by_key.get(content(request))
        if same:
            return (wanted if wanted in same else next(iter(same))), None
        changes: list[tuple[Slot, Change]] = []
        for slot in self._by_tile.get(request.header.tile, ()):
            held = self._held[slot]
            if comparable(held.request, request):
                found = change(held.request, request, threshold_rad)
                if in_place(held, found):  # within the threshold
                    return slot, found
                if slot in self._idle:
                    changes.append((slot, found))
        if changes:
            slot, nearest = min(changes, key=lambda item: item[1].mean_rad)
            if nearest.mean_rad <= NEWER_RAD:
                return slot, nearest
        for free in (self._empty, self._idle):
            if free:
                return (wanted if wanted in free else next(iter(free))), None
        raise DeviceError(
            complaint("the run uses more cores than the session has", got=f"core {wanted[0]}",
                      allowed=f"{self._cores} cores of {self._buffers} buffers")
        )  # fmt: skip

    def _grow(self, buffers: int) -> None:
        """The device has so many buffers a core, as far as is known."""
        for buffer in range(self._buffers, buffers):
            for core in range(self._cores):
                self._idle[core, buffer] = self._empty[core, buffer] = None
        self._buffers = max(self._buffers, buffers)


def in_place(held: Held, found: Change) -> bool:
    """Whether a buffer realises what is asked for already, so that nothing is to be sent."""
    return not len(found.at) and content(found.realised) == held.key


def content(request: ConfigureRequest) -> bytes:
    """A digest of all that a core is to realise: equal for equal settings of the same tile."""
    tile = request.header.tile
    digest = hashlib.blake2b(digest_size=16)
    facts = (tile, request.phase_bits, request.attenuator_bits, request.lit_ports, request.measure_offset)
    digest.update(repr(facts).encode())
    for array in (request.left, request.right, request.attenuators, request.adc_full_scale):
        digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(b"|")
    return digest.digest()


def _drop(table: dict[_Key, dict[Slot, None]], key: _Key, slot: Slot) -> None:
    """Take a slot off a table of slots."""
    del table[key][slot]
    if not table[key]:
        del table[key]

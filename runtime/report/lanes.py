"""Pictures of what happens on a schedule's lanes over time: any number of events, in as many pixels as asked for."""

from __future__ import annotations

import colorsys

import numpy as np

from ..scheduling.schedule import HOST_LANE, LINK_LANE, EventKind, Schedule

PIXELS = 1500
"""Columns of the schedule's picture: what happens within one is averaged."""

FAINTEST = 0.3
"""Strength of the colour of a pixel in which very little happens: short events stay to be seen."""


def lanes_picture(schedule: Schedule, pixels: int = PIXELS, most: int = 128) -> tuple[list[str], np.ndarray]:
    """Names and pictures of all lanes, float64 (lanes, rows, pixels, 4), see :func:`lane_picture`.

    More cores than ``most`` are drawn in groups of neighbours, each with its mean.
    """
    lanes = lanes_of(schedule)
    cores = [lane for lane in lanes if lane >= 0]
    groups = [part.tolist() for part in np.array_split(np.array(cores, int), min(most, len(cores)))] if cores else []
    names = [f"core {group[0]}" if len(group) == 1 else f"cores {group[0]} to {group[-1]}" for group in groups]
    for lane, name in ((HOST_LANE, "host"), (LINK_LANE, "link")):
        if lane in lanes:
            groups.append([lane])
            names.append(name)
    found: list[np.ndarray] = []
    for group in groups:
        ink = np.zeros(())
        for lane in group:
            picture = lane_picture(schedule, lane, pixels)
            ink = ink + np.concatenate([picture[..., :3] * picture[..., 3:], picture[..., 3:]], -1) / len(group)
        share = ink[..., 3:]
        found.append(np.concatenate([ink[..., :3] / np.where(share > 0, share, 1.0), share], -1).clip(0.0, 1.0))
    return names, np.stack(found) if found else np.zeros((0, 1, pixels, 4))


def lane_picture(schedule: Schedule, lane: int, pixels: int = PIXELS) -> np.ndarray:
    """A lane over time, float64 (1 row, or 4 with two buffers, pixels, 4): the mean colour of what happens in each
    pixel's time, as opaque as it is busy.

    With two buffers the lowest row is what the core is configured for.
    """
    rows = np.flatnonzero(schedule.core == lane)
    rows = rows[np.argsort(schedule.start_s[rows], kind="stable")]
    sets = schedule.kind[rows] == EventKind.CONFIGURE
    if schedule.buffers == 1:
        return _pixels(schedule, rows, pixels)[None]
    light = _pixels(schedule, rows[~sets], pixels)
    return np.stack([light, light, light, _pixels(schedule, rows[sets], pixels) if lane >= 0 else light])


def _pixels(schedule: Schedule, rows: np.ndarray, pixels: int) -> np.ndarray:
    """Mean colours of events that follow one another, float64 (pixels, 4); transparent where nothing happens."""
    if not len(rows):
        return np.zeros((pixels, 4))
    edges = np.linspace(0.0, schedule.makespan_s, pixels + 1)
    times = np.stack([schedule.start_s[rows], schedule.end_s[rows]], 1).ravel()
    inked = np.zeros((len(times), 4))  # red, green, blue and 1, times seconds, until then
    inked[1::2] = np.column_stack([_colours(schedule, rows), np.ones(len(rows))]) * (times[1::2] - times[::2])[:, None]
    inked = np.cumsum(inked, 0)
    ink = np.stack([np.diff(np.interp(edges, times, inked[:, channel])) for channel in range(4)], 1)
    ink = np.where(ink[:, 3:] > 1e-9 * schedule.makespan_s / pixels, ink, 0.0)
    share = np.clip(ink[:, 3:] * pixels / schedule.makespan_s, 0.0, 1.0)
    colour = ink[:, :3] / np.where(ink[:, 3:] > 0, ink[:, 3:], 1.0)
    share = np.where(share > 0, np.maximum(share, FAINTEST), 0.0)
    return np.column_stack([np.clip(colour, 0.0, 1.0), share])


def lanes_of(schedule: Schedule) -> list[int]:
    """The lanes on which anything happens: cores, then host, then link."""
    cores = sorted(set(schedule.core[schedule.core >= 0].tolist()))
    return cores + [lane for lane in (HOST_LANE, LINK_LANE) if (schedule.core == lane).any()]


def _colours(schedule: Schedule, rows: np.ndarray) -> np.ndarray:
    """Red, green, blue of events, float64 (E, 3): their layer's, grey where they configure."""
    palette = np.array([layer_colour(step) for step in range(max(len(schedule.steps), 1))])
    found = palette[schedule.step[rows]]
    found[schedule.kind[rows] == EventKind.CONFIGURE] = 0.66
    return found


def layer_colour(step: int) -> tuple[float, float, float]:
    """A colour for each step, neighbours far apart: hues by the golden angle, in three lightnesses."""
    return colorsys.hls_to_rgb(step * 0.381966 % 1.0, 0.40 + 0.08 * (step % 3), 0.55)

"""The figures of a scheduled program as files, for papers and slides."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, complaint
from ..files import check_folder
from ..installed import missing
from ..pricing.energy import EnergyReport
from ..program import ProgramBody
from ..scheduling.schedule import Schedule
from . import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: Mapping[str, Callable[[Figure, ProgramBody, Schedule, EnergyReport], None]] = {
    "schedule": plots.timeline,
    "time-by-layer": plots.time_by_layer,
    "energy-by-layer": plots.energy_by_layer,
    "energy-by-item": plots.energy_by_item,
    "energy-by-event": plots.energy_by_event,
    "tiles": plots.tile_grids,
}
"""Every figure by name."""

FORMATS = ("svg", "png", "pdf")

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "text.parse_math": False,  # a layer may be called $x$
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "lightloom",  # the same figure is the same file
}


def figure(name: str, body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> Figure:
    """One figure, of :data:`FIGURES`, as matplotlib has it.

    Raises:
        InputError: no figure of that name. LightloomError: matplotlib is missing (extra ``demo``).
    """
    if name not in FIGURES:
        raise InputError(complaint("no figure of that name", got=repr(name), allowed=", ".join(FIGURES)))
    with _drawing() as make:
        made = make()
        FIGURES[name](made, body, schedule, energy)
        return made


def export_figures(
    body: ProgramBody,
    schedule: Schedule,
    energy: EnergyReport,
    folder: str | os.PathLike[str],
    formats: Sequence[str] = ("svg", "png"),
    dpi: int = 160,
) -> tuple[Path, ...]:
    """Write every figure in every format; the same program gives the same bytes.

    Args:
        body, schedule, energy: the program, its schedule for a batch, and the schedule's energy.
        folder: made where it is not there; files of the same names are replaced.
        formats: of :data:`FORMATS`. dpi: dots per inch of PNG files.

    Returns:
        The files, figure by figure.

    Raises:
        InputError: an unknown format, or a file that cannot be written.
        LightloomError: matplotlib is missing (extra ``demo``).
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(
            complaint(
                "unknown format of figures", got=", ".join(map(repr, unknown)) or "none", allowed=", ".join(FORMATS)
            )
        )
    place = check_folder(folder)
    written: list[Path] = []
    with _drawing() as make:
        try:
            place.mkdir(parents=True, exist_ok=True)
            for name, draw in FIGURES.items():
                drawn = make()
                draw(drawn, body, schedule, energy)
                for kind in formats:
                    file = place / f"{name}.{kind}"
                    drawn.savefig(file, format=kind, dpi=dpi, metadata=_METADATA[kind])
                    written.append(file)
        except OSError as error:
            raise InputError(
                complaint("the figures cannot be written", where=str(place), got=error.strerror or str(error))
            ) from error
    return tuple(written)


_METADATA: Mapping[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": "lightloom"},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": "lightloom", "Producer": None},
}


@contextmanager
def _drawing() -> Iterator[Callable[[], Figure]]:
    """Yields what makes an empty figure, under the style of all figures."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Made
    except ImportError as error:
        raise missing("figures", "matplotlib", "demo") from error

    def make() -> Figure:
        found = Made(layout="constrained")
        FigureCanvasAgg(found)
        return found

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # names in scripts that the font does not have: PNG shows boxes, SVG the text itself
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield make

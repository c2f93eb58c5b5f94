"""Figures of what the benchmarks in this folder have found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import accuracy_cells

COLOURS = {"clements": "#1f77b4", "clements_bell": "#d95f02", "fldzhyan": "#1b9e77", "fldzhyan_bell": "#7b3294"}
WINDOW = 10
"""Epochs that a point of a curve averages: single epochs of RMSProp jump."""


def curves(records: Mapping[str, Any], data: str) -> Figure:
    """Training loss and validation accuracy of every mesh: the mean of the seeds over ``WINDOW`` epochs."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for cell in accuracy_cells(records):
        if cell["data"] == data:
            colour = COLOURS[cell["mesh"]]
            runs = cell["histories"]
            _line(losses, np.array([run["loss"] for run in runs]), cell["mesh"], colour, span=True)
            _line(accuracies, 100 * np.array([run["validation_accuracy"] for run in runs]), cell["mesh"], colour)
    losses.set(xlabel="epoch", ylabel="training loss", yscale="log")
    low = {"iris": 70, "digits": 85}.get(data, 0)
    accuracies.set(xlabel="epoch", ylabel="validation accuracy (%)", ylim=(low, 101))
    _tidy(losses, accuracies)
    accuracies.legend(frameon=False, loc="lower right")
    title = f"{data.capitalize()}: mean of the seeds over {WINDOW} epochs; shaded, what the seeds span"
    figure.suptitle(title, fontsize=11)
    return figure


def _line(axes: Axes, values: np.ndarray, name: str, colour: str, span: bool = False) -> None:
    """The mean of lines (seeds, epochs), and what they span."""
    width = min(WINDOW, values.shape[1])
    values = np.array([np.convolve(line, np.full(width, 1 / width), "valid") for line in values])
    epochs = np.arange(width, width + values.shape[1])
    if span:
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.12, linewidth=0)
    axes.plot(epochs, values.mean(axis=0), color=colour, label=name, linewidth=1.2)


def memory(found: Mapping[str, Any]) -> Figure:
    """Peak memory with N, with the batch, and with the depth."""
    lines = [*found["memory"].values()]
    figure = Figure(figsize=(10, 4), layout="constrained")
    widths, batches = figure.subplots(1, 2)
    clements = [line for line in lines if "layers" not in line]
    growing = sorted((line for line in clements if line["batch"] == 128), key=lambda line: line["ports"])
    ports = [line["ports"] for line in growing]
    for key, name, style in (
        ("peak_mb", "peak, measured", "o-"),
        ("state_mb", "phases, gradients, squares", "--"),
        ("fields_mb", "fields at one window", ":"),
        ("kept_windows_mb", "fields at all windows", "-."),
    ):
        widths.plot(ports, [line[key] for line in growing], style, label=name)
    widths.set(xscale="log", yscale="log", xlabel="N", ylabel="MB", title="batch 128, depth N")
    widths.set_xticks(ports, [str(one) for one in ports])
    widths.minorticks_off()
    for layers in sorted({line["layers"] for line in lines if "layers" in line}):
        some = sorted((line for line in lines if line.get("layers") == layers), key=lambda line: line["batch"])
        batches.plot(
            [line["batch"] for line in some],
            [line["peak_mb"] - line["state_mb"] for line in some],
            "o-",
            label=f"depth {layers}",
        )
    batches.set(xlabel="batch", ylabel="MB beyond phases, gradients, squares", title="N = 800", ylim=(0, None))
    _tidy(widths, batches)
    widths.legend(frameon=False)
    if batches.lines:
        batches.legend(frameon=False)
    return figure


def _tidy(*all_axes: Axes) -> None:
    for axes in all_axes:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """As PNG, the same bytes from the same numbers."""
    figure.savefig(path, dpi=110, metadata={"Software": None})

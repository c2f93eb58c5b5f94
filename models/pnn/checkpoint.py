"""Training state in a safetensors file: loading one runs no code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ...runtime.errors import ArtefactError, complaint
from .history import History


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, generators: dict[str, torch.Generator],
    history: History, options: dict[str, Any],
) -> None:  # fmt: skip
    """Write everything that training needs to go on; the file is whole or as it was before."""
    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    for place, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{place}.{name}"] = torch.as_tensor(value).contiguous()
    tensors |= {f"generator.{name}": one.get_state() for name, one in generators.items()}
    metadata = {"history": json.dumps(history.to_dict()), "options": json.dumps(options, sort_keys=True)}
    partial = path.with_name(path.name + ".part")
    save_file(tensors, partial, metadata)
    os.replace(partial, path)


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, generators: dict[str, torch.Generator],
    options: dict[str, Any],
) -> History:  # fmt: skip
    """Put the state of a file into model, optimizer and generators, and return the history.

    Raises:
        ArtefactError: a damaged file, one of another model, or of training with other options.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        history = History.from_dict(json.loads(metadata["history"]))
        before = json.loads(metadata["options"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ArtefactError(complaint("Not a checkpoint of training", where=str(path), got=error)) from error
    changed = sorted(key for key in {*before, *options} if before.get(key) != options.get(key))
    if changed:
        raise ArtefactError(
            complaint(
                "The checkpoint is of training with other options",
                where=str(path),
                got=", ".join(f"{key}={before.get(key)}" for key in changed),
                allowed=", ".join(f"{key}={options.get(key)}" for key in changed),
                next_step="take another path, or delete the file",
            )
        )
    parts: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}, "generator": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    state: dict[int, dict[str, Any]] = {}
    try:
        for name, tensor in parts["optimizer"].items():
            place, _, key = name.partition(".")
            state.setdefault(int(place), {})[key] = tensor
        model.load_state_dict(parts["model"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        for name, generator in generators.items():
            generator.set_state(parts["generator"][name])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ArtefactError(complaint("The checkpoint does not fit the model", where=str(path), got=error)) from error
    return history

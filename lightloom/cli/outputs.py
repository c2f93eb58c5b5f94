"""Outputs of a program, a tree of tensors, as named arrays and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..runtime.errors import InputError, complaint


def flatten(tree: object, name: str = "") -> dict[str, np.ndarray]:
    """Leaves of a tree of tuples, lists and dicts by their path: ``output``, ``0``, ``1.logits``."""
    if isinstance(tree, dict):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list | tuple):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        array = tree.detach().cpu() if isinstance(tree, torch.Tensor) else torch.as_tensor(tree)
        if array.dtype == torch.bfloat16:
            array = array.float()
        return {name or "output": array.numpy()}
    found: dict[str, np.ndarray] = {}
    for key, value in items:
        if value is not None:
            found |= flatten(value, f"{name}.{key}" if name else key)
    return found


def check_suffix(path: Path, outputs: int) -> None:
    """Raise InputError where a file of this name cannot hold so many arrays."""
    if path.suffix == ".npz" or (path.suffix == ".npy" and outputs == 1):
        return
    wanted = ".npy or .npz" if outputs == 1 else f".npz, for {outputs} outputs"
    raise InputError(complaint("the outputs cannot go into this file", where=str(path), allowed=wanted))


def write_outputs(arrays: dict[str, np.ndarray], path: Path) -> Path:
    """Write one array to a ``.npy`` file, or any number of named ones to a ``.npz`` file.

    Raises:
        InputError: for several arrays and a ``.npy`` file, another suffix, or a file that cannot be written.
    """
    check_suffix(path, len(arrays))
    try:
        if path.suffix == ".npz":
            np.savez(path, allow_pickle=False, **arrays)
        else:
            np.save(path, next(iter(arrays.values())), allow_pickle=False)
    except OSError as error:
        raise InputError(complaint("The outputs cannot be written", where=str(path), got=error.strerror)) from error
    return path

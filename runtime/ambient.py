"""Torch's ambient modes, switched off: a program computes the same whatever its caller has switched on around it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def plain_torch(gradients: bool = False) -> Iterator[None]:
    """No autocast, no inference mode, float32 and the CPU as defaults, gradients as asked for.

    Args:
        gradients: whether operations are recorded; searches for phases need it, runs do not.

    Modes are set only where they differ: a default device costs every torch call, a default dtype is global.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(gradients))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_Float32())
        yield


class _Float32:
    """float32 as the default, which is one for all threads: the first that enters sets it, the last puts it back."""

    _lock = threading.Lock()
    _inside = 0
    _before = torch.float32

    def __enter__(self) -> None:
        with _Float32._lock:
            if not _Float32._inside:
                _Float32._before = torch.get_default_dtype()
            _Float32._inside += 1
            if torch.get_default_dtype() != torch.float32:
                torch.set_default_dtype(torch.float32)

    def __exit__(self, *_: object) -> None:
        with _Float32._lock:
            _Float32._inside -= 1
            if not _Float32._inside and torch.get_default_dtype() != _Float32._before:
                torch.set_default_dtype(_Float32._before)

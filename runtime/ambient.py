"""Torch's ambient modes, switched off: a program computes the same whatever its caller has switched on around it."""

from __future__ import annotations

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
        if torch.get_default_dtype() != torch.float32:
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float32)
        yield

"""A value that holds for one outcome of a condition only: a host op that lets it pass, or says why it cannot.

Where a model branches on data and one of its branches cannot run at the sizes it was compiled for, the program holds
the other one, guarded by this op.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import InputError, complaint

EXPECT = "lightloom_guard.expect.default"
"""Name of the op in programs."""


@torch.library.custom_op("lightloom_guard::expect", mutates_args=())
def expect(value: Tensor, condition: Tensor, wanted: bool, where: str, reason: str) -> Tensor:
    """The value, where the condition is as wanted.

    Raises:
        InputError: it is not; ``where`` and ``reason`` say which branch the input needs, and why it is not there.
    """
    if bool(condition) != wanted:
        raise InputError(
            complaint(
                "the input takes a branch of the model that is not in the program",
                where=where,
                got=f"a condition that is {bool(condition)}",
                allowed=f"{wanted}: the other branch cannot run at the sizes of the example ({reason})",
                next_step="compile with an example input that takes the branch",
            )
        )
    return value.clone()


@expect.register_fake
def _like(value: Tensor, condition: Tensor, wanted: bool, where: str, reason: str) -> Tensor:
    return torch.empty_like(value)

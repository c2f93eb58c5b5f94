"""torchvision's networks, also beside a CPU build of torch.

torchvision's wheels hold compiled operators that want the torch they were built for; where those cannot be
loaded the import fails while it registers them. The classification networks need none of them: declaring
the operators' names is enough to import and run them.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..runtime.errors import LightloomError, complaint

_OPERATORS = ("nms", "qnms", "roi_align", "_roi_align_backward", "roi_pool", "_roi_pool_backward")
_MORE = ("ps_roi_align", "_ps_roi_align_backward", "ps_roi_pool", "_ps_roi_pool_backward")
_DEFORMABLE = ("deform_conv2d", "_deform_conv2d_backward")
_declared: list[torch.library.Library] = []


def torchvision_network(name: str, **arguments: Any) -> nn.Module:
    """A torchvision network in eval mode, with random weights unless the arguments say otherwise.

    Args:
        name: Name in ``torchvision.models``, such as ``resnet18``.
        arguments: Passed on to torchvision.

    Raises:
        LightloomError: torchvision is not installed, or has no such network.
    """
    if importlib.util.find_spec("torchvision") is None:
        raise LightloomError(
            complaint(
                "torchvision is not installed",
                where=f"network {name!r}",
                next_step="pip install --no-deps torchvision, of the release that goes with the installed torch",
            )
        )
    declare_operators()
    models = importlib.import_module("torchvision.models")
    if name not in models.list_models():
        raise LightloomError(complaint("torchvision has no such network", got=repr(name)))
    return models.get_model(name, **arguments).eval()


def declare_operators() -> None:
    """Make ``import torchvision`` (and timm and transformers, which import it) work beside any build of torch.

    Declares the operators' names where torchvision's own library cannot be loaded; otherwise does nothing.
    """
    if _declared or hasattr(torch.ops.torchvision, "nms"):
        return
    spec = importlib.util.find_spec("torchvision")
    folder = Path(next(iter(spec.submodule_search_locations or ["."]))) if spec else Path()
    try:
        for library in folder.glob("_C*.so"):
            torch.ops.load_library(str(library))
        if hasattr(torch.ops.torchvision, "nms"):
            return
    except OSError:
        pass  # built for another torch: the names alone will do
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for operator in (*_OPERATORS, *_MORE, *_DEFORMABLE):
        fragment.define(f"{operator}(Tensor input) -> Tensor")
    _declared.append(fragment)

"""Published architectures by name, with random weights and example inputs: torchvision, timm and transformers.

Names are ``library:architecture``, such as ``torchvision:resnet18``, ``timm:convnext_tiny`` or ``transformers:bert``.
Nothing is downloaded; the libraries are imported on first use.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..runtime.errors import LightloomError, complaint
from ..runtime.seeds import seed_of
from .vision import declare_operators, torchvision_network
from .zoo_timm import FAMILIES
from .zoo_transformers import TRANSFORMERS

LIBRARIES = ("torchvision", "timm", "transformers")

_TORCHVISION_SIZES = {"inception_v3": 96, "maxvit_t": 224}
_TORCHVISION_ARGUMENTS: dict[str, dict[str, Any]] = {
    "googlenet": {"init_weights": False, "transform_input": True},
    "inception_v3": {"init_weights": False, "transform_input": True},
}
_SIDE = 64


@dataclass(frozen=True)
class Sample:
    """A network in eval mode and inputs that it takes: a tuple of tensors, or tensors by keyword."""

    name: str
    model: nn.Module
    inputs: tuple[torch.Tensor, ...] | dict[str, torch.Tensor]


def names(pattern: str = "*") -> list[str]:
    """The names that a pattern matches, such as ``timm:resnet*``; a name without wildcards matches itself.

    ``torchvision:*`` holds the classification and the segmentation networks, ``timm:*`` everything timm can make, and
    ``timm:families`` one small network of each of about 130 families.

    Raises:
        LightloomError: an unknown or missing library, or nothing of that name.
    """
    library, colon, wanted = pattern.partition(":")
    if pattern == "timm:families":
        return [f"timm:{name}" for name in FAMILIES]
    libraries = LIBRARIES if pattern == "*" else (library,)
    if pattern != "*" and (not colon or library not in LIBRARIES):
        raise LightloomError(
            complaint("unknown network", got=repr(pattern), allowed=", ".join(f"{name}:..." for name in LIBRARIES))
        )
    found = [
        f"{name}:{architecture}"
        for name in libraries
        for architecture in _LISTS[name]()
        if fnmatch.fnmatchcase(architecture, wanted or "*")
    ]
    if not found:
        raise LightloomError(complaint("no network of that name", got=repr(pattern)))
    return found


def network(name: str, seed: int = 0, side: int | None = None) -> Sample:
    """A network with random weights from ``seed``, and example inputs for two samples.

    Args:
        name: ``library:architecture``, one of :func:`names`.
        seed: of the weights and the inputs; the global random state is left as it was.
        side: Height and width of images, pixels; by default 64 where the network takes that.

    Raises:
        LightloomError: unknown name, or the library is missing or cannot make the network.
    """
    library, _, architecture = name.partition(":")
    if library not in LIBRARIES:
        names(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed))
        model, inputs = _MAKERS[library](architecture, side)
    return Sample(name, model.eval(), inputs)


def settle(sample: Sample, seed: int = 1, spread: float = 0.1) -> Sample:
    """The network as if it had been trained: no statistics of 0 and 1, and no parameter tensors of zeros.

    Otherwise a wrong fold of a batch norm, or a lost branch, could not be seen in the outputs. Running means are drawn
    around the present ones with std ``spread``, variances scaled by up to ``1 +- spread``; parameters that are all zero
    are drawn with std ``spread`` / 5. The network is changed in place.
    """
    generator = torch.Generator().manual_seed(seed_of(seed))
    with torch.no_grad():
        for parameter in sample.model.parameters():
            if parameter.is_floating_point() and parameter.numel() and not parameter.any():
                parameter += spread / 5 * torch.randn(parameter.shape, generator=generator)
    for module in sample.model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            mean, variance = module.running_mean, module.running_var
            mean += spread * torch.randn(mean.shape, generator=generator)
            if variance is not None:
                variance *= 1 + spread * (2 * torch.rand(variance.shape, generator=generator) - 1)
    return sample


def preload(library: str) -> None:
    """Import a library of networks now rather than on first use."""
    _import(library)


def _image(side: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, side, side)


def _torchvision(architecture: str, side: int | None) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    arguments = dict(_TORCHVISION_ARGUMENTS.get(architecture, {}))
    if "deeplab" in architecture or "fcn" in architecture or "raspp" in architecture:
        arguments["weights_backbone"] = None
    size = side or _TORCHVISION_SIZES.get(architecture, _SIDE)
    if architecture.startswith("vit_"):
        size = side or (70 if architecture.endswith("_14") else 64)
        arguments["image_size"] = size
    return torchvision_network(architecture, **arguments), (_image(size),)


def _timm(architecture: str, side: int | None) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    timm = _import("timm")
    if architecture not in timm.list_models():
        raise LightloomError(complaint("timm has no such network", got=repr(architecture)))
    model = timm.create_model(architecture, pretrained=False)
    channels, size, _ = model.pretrained_cfg.get("input_size") or (3, 224, 224)
    if side is not None:
        size = side
    elif not model.pretrained_cfg.get("fixed_input_size", False):
        size = min(size, _SIDE) if _takes(model, channels, _SIDE) else size
    return model, (_image(size, channels),)


def _takes(model: nn.Module, channels: int, side: int) -> bool:
    """Whether a network takes images of this size: tried out, since libraries do not say."""
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(2, channels, side, side))
    except Exception:
        return False
    return True


def _transformers(architecture: str, side: int | None) -> tuple[nn.Module, Any]:
    del side
    if architecture not in TRANSFORMERS:
        raise LightloomError(
            complaint("no such transformer", got=repr(architecture), allowed=", ".join(sorted(TRANSFORMERS)))
        )
    return TRANSFORMERS[architecture](_import("transformers"))


def _import(library: str) -> Any:
    if importlib.util.find_spec(library) is None:
        raise LightloomError(complaint(f"{library} is not installed", next_step=f"pip install {library}"))
    if importlib.util.find_spec("torchvision") is not None:
        declare_operators()
    module = importlib.import_module(library)
    if library == "transformers":
        importlib.import_module("transformers.modeling_utils")
    return module


def _torchvision_names() -> list[str]:
    declare_operators()
    torchvision = _import("torchvision.models")
    kinds = (torchvision, torchvision.segmentation)
    return [name for kind in kinds for name in torchvision.list_models(module=kind)]


_LISTS: dict[str, Callable[[], list[str]]] = {
    "torchvision": _torchvision_names,
    "timm": lambda: _import("timm").list_models(),
    "transformers": lambda: sorted(TRANSFORMERS),
}
_MAKERS: dict[str, Callable[[str, int | None], tuple[nn.Module, Any]]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}

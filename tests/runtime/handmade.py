"""Programs made by hand from banks of random words: a chain of layers, no compiler involved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch

from lightloom.runtime.program import (
    Conv2dGeometry,
    HostStep,
    InputSpec,
    LinearGeometry,
    MatrixStep,
    ProgramBody,
    StepCost,
    TileBank,
)
from lightloom.runtime.values import Ref, TensorType

from .bankloop.toy import make_bank, make_target


@dataclass(frozen=True)
class Layer:
    """A matrix layer: ``geometry`` None for linear; ``rows`` of one group; further arguments of the bank."""

    rows: int
    cols: int
    geometry: Conv2dGeometry | None = None
    bias: bool = True
    skip: tuple = ()


def conv(rows, channels, kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1), groups=1, **kwargs):
    geometry = Conv2dGeometry(channels, kernel, stride, padding, dilation, groups)
    return Layer(rows, channels // groups * kernel[0] * kernel[1], geometry, **kwargs)


def host(name, op, args, shape, kind="f32", path=None, **kwargs):
    return HostStep(name, op, tuple(args), tuple(kwargs.items()), TensorType(kind, shape), path or name, "")


def named(bank: TileBank, name: str) -> TileBank:
    return TileBank(replace(bank.spec, name=name), bank.columns)


def _count(dims):
    """Elements of one sample: a symbolic size counts once."""
    return prod(dim if isinstance(dim, int) else 1 for dim in dims)


def chain(target, shape, layers, *, seed=0, static=False, shift=False, **bank):
    """``layers``: Layer, or the name of an elementwise or ``flatten`` host op. Input ``x`` of ``shape``."""
    steps, banks, constants, costs = [], {}, {}, {}
    source, dims = "x", tuple(shape)
    for place, layer in enumerate(layers):
        name = f"v{place}"
        if isinstance(layer, str):
            if layer == "flatten":
                dims = (dims[0], prod(dims[1:]))
                steps.append(host(name, "flatten.using_ints", (Ref(source), 1), dims))
            else:
                steps.append(host(name, f"{layer}.default", (Ref(source),), dims))
            costs[name] = StepCost(0, 0, _count(dims[1:]))
            source = name
            continue
        groups = layer.geometry.groups if layer.geometry else 1
        made = make_bank(
            layer.rows, layer.cols, ports=target.mesh.ports, groups=groups, seed=seed + place, skip=layer.skip,
            phase_bits=target.mesh.phase_bits, attenuator_bits=target.mesh.attenuator_bits, static=static,
            shift=shift, **bank,
        )  # fmt: skip
        banks[f"m{place}"] = named(made, f"m{place}")
        geometry = layer.geometry or LinearGeometry()
        if layer.geometry:
            dims = (dims[0], groups * layer.rows, *layer.geometry.output_size(dims[2], dims[3]))
            vectors = dims[2] * dims[3]
        else:
            dims = (*dims[:-1], layer.rows)
            vectors = _count(dims[1:-1])
        bias = None
        if layer.bias:
            bias = f"b{place}"
            constants[bias] = torch.linspace(-1, 1, groups * layer.rows)
        steps.append(
            MatrixStep(name, f"m{place}", source, geometry, bias, TensorType("f32", dims), f"layer{place}", "")
        )
        costs[name] = StepCost(made.spec.weights * vectors, vectors, _count(dims[1:]))
        source = name
    return ProgramBody(
        name="handmade",
        target=target,
        inputs=(InputSpec("x", TensorType("f32", tuple(shape))),),
        constants=constants,
        steps=tuple(steps),
        outputs=(Ref(source),),
        structure={"leaf": 0},
        banks=banks,
        costs=costs,
        example_batch=2,
    )


def small(target=None, **kwargs):
    """A convolution with groups and odd geometry, a ReLU, and a linear layer with edge tiles and a hole."""
    target = target or make_target(8)
    layers = [
        conv(3, 4, (3, 2), (2, 1), (1, 0, 2, 1), (1, 2), groups=2),
        "relu",
        "flatten",
        Layer(10, 6 * 3 * 6, skip=((0, 0, 1), (0, 1, 3))),
    ]
    return chain(target, ("s0", 4, 7, 5), layers, **kwargs)


def images(count, seed=1, dtype=torch.float32):
    return torch.randn(count, 4, 7, 5, generator=torch.Generator().manual_seed(seed)).to(dtype)

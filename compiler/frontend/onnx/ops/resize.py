"""Resize and Upsample, axis by axis, exactly as the specification computes coordinates and weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.nn import functional as F

from ..known import Known, literal
from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor
Sizes = Tensor | Known


@operator("Upsample", since=1)
def upsample_attributes(node: NodeContext, x: Tensor) -> Tensor:
    scales = node["scales"]
    if scales is None:
        scales = [1.0, 1.0, node["height_scale"], node["width_scale"]]
    return _upsampled(node, x, list(scales))


@operator("Upsample", since=9, host=(1,))
def upsample(node: NodeContext, x: Tensor, scales: Sizes) -> Tensor:
    return _upsampled(node, x, node.numbers(scales, 1))


@operator("Resize", since=10, host=(1,))
def resize_by_scales(node: NodeContext, x: Tensor, scales: Sizes) -> Tensor:
    return _upsampled(node, x, node.numbers(scales, 1))


def _upsampled(node: NodeContext, x: Tensor, scales: list[Any]) -> Tensor:
    if len(scales) != x.ndim:
        raise node.input_error(1, "one scale a dimension is needed", got=scales, allowed=f"{x.ndim} numbers")
    sizes = [_scaled(size, scale) for size, scale in zip(x.shape, scales, strict=True)]
    node.check_size(sizes)
    mode = {"bilinear": "linear", "trilinear": "linear"}.get(node["mode"], node["mode"])
    plan = _Plan(node, str(mode), "asymmetric", "floor")
    return plan.resized(x, list(range(x.ndim)), scales, sizes, None)


@operator("Resize", since=11, host=(1, 2, 3))
def resize(
    node: NodeContext, x: Tensor, roi: Sizes | None = None, scales: Sizes | None = None, sizes: Sizes | None = None
) -> Tensor:
    axes = node.axes(node["axes"], x.ndim)
    factors = [] if scales is None else node.numbers(scales, 2)
    wanted = [] if sizes is None else node.numbers(sizes, 3)
    if bool(factors) == bool(wanted):
        raise node.error("either scales or sizes must be given", got=f"scales {factors}, sizes {wanted}")
    if len(factors or wanted) != len(axes):
        raise node.error("one scale or size an axis is needed", got=factors or wanted, allowed=f"{len(axes)} numbers")
    old = [x.shape[axis] for axis in axes]
    if wanted:
        factors = [new / size for new, size in zip(wanted, old, strict=True)]
        policy = node.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(axes)
            wanted = [math.floor(factor * size + 0.5) for size in old]
    else:
        wanted = [_scaled(size, factor) for size, factor in zip(old, factors, strict=True)]
    node.check_size([*wanted, *(size for axis, size in enumerate(x.shape) if axis not in axes)])
    region = None
    if node["coordinate_transformation_mode"] == "tf_crop_and_resize":
        numbers = [] if roi is None else node.numbers(roi, 1)
        if len(numbers) != 2 * len(axes):
            raise node.input_error(1, "a region needs a start and an end an axis", got=numbers)
        region = list(zip(numbers[: len(axes)], numbers[len(axes) :], strict=True))
    plan = _Plan(node, node["mode"], node["coordinate_transformation_mode"], node["nearest_mode"])
    return plan.resized(x, axes, factors, wanted, region)


def _scaled(size: Any, scale: Any) -> Any:
    if isinstance(scale, float) and scale.is_integer():
        scale = int(scale)
    if isinstance(scale, (int, float)) and not 0 < scale < 2**31:
        raise ValueError(f"scales must be positive, got {scale}")
    if isinstance(scale, int):
        return size * scale
    return math.floor(size * scale)


class _Plan:
    """How one node resizes: mode, coordinates, rounding."""

    def __init__(self, node: NodeContext, mode: str, coordinates: str, nearest: str) -> None:
        if mode not in ("nearest", "linear", "cubic"):
            raise node.error("a mode is unknown", got=mode, allowed="nearest, linear, cubic")
        self.node = node
        self.mode = mode
        self.coordinates = coordinates
        self.nearest = nearest
        self.antialias = bool(node.get("antialias", 0))

    def resized(
        self, x: Tensor, axes: list[int], factors: list[Any], sizes: list[Any], region: list[tuple[float, float]] | None
    ) -> Tensor:
        changed = [
            i
            for i, axis in enumerate(axes)
            if not (
                _same(sizes[i], x.shape[axis])
                and (region is None or region[i] == (0.0, 1.0))
                and self._unit(factors[i])
            )
        ]
        if not changed:
            return x
        fast = self._interpolated(
            x, [axes[i] for i in changed], [factors[i] for i in changed], [sizes[i] for i in changed]
        )
        if fast is not None:
            return fast
        dtype = x.dtype
        result = x
        if self.mode != "nearest" and not dtype.is_floating_point:
            result = x.to(torch.float64)
        for i in changed:
            if not isinstance(sizes[i], int) or not isinstance(x.shape[axes[i]], int):
                raise self.node.error(
                    "this resize needs sizes that are known before the model runs",
                    got=f"axis {axes[i]}: {x.shape[axes[i]]} to {sizes[i]}",
                    next_step="export the model with a fixed image size",
                )
            span = None if region is None else region[i]
            result = self._axis(result, axes[i], float(factors[i]), sizes[i], span)
        if result.dtype != dtype:
            limits = torch.iinfo(dtype)
            result = torch.clamp(result, limits.min, limits.max).to(dtype)
        return result

    @staticmethod
    def _unit(factor: Any) -> bool:
        return not isinstance(factor, (int, float)) or math.isclose(factor, 1.0)

    def _interpolated(self, x: Tensor, axes: list[int], factors: list[Any], sizes: list[Any]) -> Tensor | None:
        """torch's own interpolation, where it computes the same."""
        rank = x.ndim - 2
        exact = all(
            (isinstance(f, (int, float)) and float(f).is_integer()) or _same(f * n, s)
            for f, n, s in zip(factors, (x.shape[axis] for axis in axes), sizes, strict=True)
        )
        if self.antialias or min(axes) < 2 or rank not in (1, 2, 3) or not x.dtype.is_floating_point or not exact:
            return None
        target = [sizes[axes.index(axis)] if axis in axes else x.shape[axis] for axis in range(2, x.ndim)]
        whole = all(isinstance(f, (int, float)) and float(f).is_integer() for f in factors)
        if self.mode == "nearest":
            # With whole factors, both conventions read the pixel that a block of outputs lies in.
            if whole and (
                (self.coordinates == "asymmetric" and self.nearest == "floor")
                or (self.coordinates == "half_pixel" and self.nearest.startswith("round_prefer"))
            ):
                return F.interpolate(x, size=target, mode="nearest")
            return None
        if self.mode == "linear" and self.coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners"):
            if self.coordinates == "pytorch_half_pixel" and any(_same(size, 1) for size in target):
                return None
            if self.coordinates == "align_corners" and any(_same(size, 1) for size in target):
                return None
            if self.node.get("exclude_outside", 0):
                return None
            kind = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
            return F.interpolate(x, size=target, mode=kind, align_corners=self.coordinates == "align_corners")
        return None

    def _axis(self, x: Tensor, axis: int, factor: float, size: int, region: tuple[float, float] | None) -> Tensor:
        length = x.shape[axis]
        if size == 0:
            return x.narrow(axis, 0, 0)
        if length == 0:
            raise self.node.input_error(0, "an empty dimension cannot be resized", got=list(x.shape))
        source, outside = self._source(length, factor, size, region)
        if self.mode == "nearest":
            index = np.clip(self._rounded(source), 0, length - 1)
            result = torch.index_select(x, axis, literal(index, torch.int64, x.device))
        else:
            index, weights = self._taps(source, length, factor)
            result = None
            shape = [1] * x.ndim
            shape[axis] = size
            for tap in range(index.shape[1]):
                picked = torch.index_select(x, axis, literal(index[:, tap], torch.int64, x.device))
                weight = literal(weights[:, tap], x.dtype, x.device).reshape(shape)
                result = picked * weight if result is None else result + picked * weight
        if outside is not None and outside.any():
            shape = [1] * x.ndim
            shape[axis] = size
            mask = literal(outside, torch.bool, x.device).reshape(shape)
            result = torch.where(mask, self.node["extrapolation_value"], result)  # type: ignore[arg-type]
        return result.to(x.dtype)  # type: ignore[union-attr]

    def _source(
        self, length: int, factor: float, size: int, region: tuple[float, float] | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Where each output position reads, in input pixels; for a region also which read outside."""
        y = np.arange(size, dtype=np.float64)
        exact = factor * length
        match self.coordinates:
            case "asymmetric":
                return y / factor, None
            case "half_pixel":
                return (y + 0.5) / factor - 0.5, None
            case "pytorch_half_pixel":
                return np.full(size, -0.5) if exact == 1 else (y + 0.5) / factor - 0.5, None
            case "half_pixel_symmetric":
                offset = length / 2 * (1 - size / exact)
                return offset + (y + 0.5) / factor - 0.5, None
            case "align_corners":
                return np.zeros(size) if exact == 1 else y * (length - 1) / (exact - 1), None
            case "tf_half_pixel_for_nn":
                return (y + 0.5) / factor, None
            case "tf_crop_and_resize" if region is not None:
                start, end = region
                if exact == 1:
                    source = np.full(size, (end - start) * (length - 1) / 2)
                else:
                    source = y * (end - start) * (length - 1) / (exact - 1)
                source = source + start * (length - 1)
                return source, (source < 0) | (source > length - 1)
        raise self.node.error("a coordinate transformation is unknown", got=self.coordinates)

    def _rounded(self, source: np.ndarray) -> np.ndarray:
        match self.nearest:
            case "floor":
                return np.floor(source)
            case "ceil":
                return np.ceil(source)
            case "round_prefer_floor":
                return np.ceil(source - 0.5)
            case "round_prefer_ceil":
                return np.floor(source + 0.5)
        raise self.node.error("a rounding mode is unknown", got=self.nearest)

    def _taps(self, source: np.ndarray, length: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
        """Input positions and weights of every output position: (size, taps) each."""
        stretch = min(factor, 1.0) if self.antialias else 1.0
        radius = 1 if self.mode == "linear" else 2
        reach = int(math.floor(-radius / stretch) + 1)
        base = np.floor(source)
        steps = np.arange(reach, 2 - reach)
        distance = (base[:, None] + steps - source[:, None]) * stretch
        weights = self._kernel(np.abs(distance))
        if self.antialias:
            weights = weights / weights.sum(1, keepdims=True)
        index = (base[:, None] + steps).astype(np.int64)
        if self.node.get("exclude_outside", 0):
            weights = np.where((index < 0) | (index >= length), 0.0, weights)
            total = weights.sum(1, keepdims=True)
            weights = weights / np.where(total == 0, 1.0, total)
        used = np.abs(weights).max(0) > 0
        return np.clip(index, 0, length - 1)[:, used], weights[:, used]

    def _kernel(self, distance: np.ndarray) -> np.ndarray:
        if self.mode == "linear":
            return np.clip(1 - distance, 0, 1)
        a = self.node.get("cubic_coeff_a", -0.75)
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _same(a: Any, b: Any) -> bool:
    """Whether two sizes are equal whatever their symbols stand for."""
    return a is b or statically_known_true(a == b)

"""What a pass is, and the options that passes share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Protocol

import numpy as np

from ...runtime.errors import CompileError, complaint, shorten
from ...runtime.program import BankSpec
from ...runtime.scheduling.plan import Plan
from ...runtime.targets import Target
from ..ir import Graph

Columns = Mapping[str, np.ndarray]


class GraphPass(Protocol):
    """A rewrite of the whole graph.

    ``name`` is what ``--stop-after`` and a node's history call it; ``consumes`` and ``produces`` are stages.
    """

    name: ClassVar[str]
    consumes: ClassVar[str]
    produces: ClassVar[str]

    def run(self, graph: Graph, target: Target) -> Graph:
        """The graph after the pass; the given one is never changed."""
        ...


class TilePass(Protocol):
    """A rewrite of tile tables, a chunk of tiles at a time.

    ``consumes`` columns are dropped after the pass unless they are also produced; memory is bounded by
    the chunk because the pipeline takes each chunk through all consecutive tile passes at once.
    """

    name: ClassVar[str]
    consumes: ClassVar[tuple[str, ...]]
    produces: ClassVar[tuple[str, ...]]

    def spec(self, spec: BankSpec, target: Target) -> BankSpec:
        """The bank's shape after the pass."""
        ...

    def run(self, columns: Columns, spec: BankSpec, target: Target) -> dict[str, np.ndarray]:
        """New or replaced columns for these tiles."""
        ...


@dataclass(frozen=True)
class Options:
    """What the caller of compile asks for.

    ``exclude``: globs of layer paths that stay on the host. ``overrides``: per glob, target fields to change
    for the layers it matches (dotted, for example ``{"fc*": {"encoding.dac_bits": 6}}``). ``strict``: raise
    if an op that multiplies and accumulates must stay on the host. ``mesh_tolerance``: the largest error of an
    element of a mesh's unitary that is accepted where phases are searched for (families without an analytic rule);
    None takes the best that is found. ``pack``: small groups of a convolution share tiles
    (under coherent detection). ``dynamic_matmul``: where products of two computed values run, ``host`` or
    ``photonic``. ``plan``: how the program is to be scheduled.
    """

    exclude: Collection[str] = ()
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strict: bool = False
    mesh_tolerance: float | None = 1e-8
    fewer_moves: bool = False
    pack: bool = True
    dynamic_matmul: str = "host"
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        """Raises CompileError for options of another kind than these."""
        tolerance = self.mesh_tolerance
        checks = (
            ("exclude", _are_globs(self.exclude), "globs over layer paths"),
            ("overrides", _is_overrides(self.overrides), "changes by glob: {'fc*': {'encoding.dac_bits': 6}}"),
            ("mesh_tolerance", tolerance is None or _is_positive(tolerance), "a number above 0, or None"),
        )
        for name, fine, allowed in checks:
            if not fine:
                given = shorten(getattr(self, name))
                raise CompileError(complaint("impossible option", where=f"{name}=", got=given, allowed=allowed))


def _are_globs(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str) and all(isinstance(glob, str) for glob in value)


def _is_overrides(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(glob, str) and isinstance(changes, Mapping) and all(isinstance(field, str) for field in changes)
        for glob, changes in value.items()
    )


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def matches(path: str, glob: str) -> bool:
    """Whether a layer path is covered by a glob; a glob also covers what is below the path it names."""
    return fnmatchcase(path, glob) or fnmatchcase(path, glob + ".*")


def require_match(globs: Collection[str], paths: list[str], argument: str) -> None:
    """Raise CompileError for every glob that matches no layer path."""
    for glob in globs:
        if not any(matches(path, glob) for path in paths):
            raise CompileError(
                complaint(
                    f"a glob of {argument}= matches no layer",
                    got=repr(glob),
                    allowed=f"globs over the layer paths {', '.join(paths[:12])}{', ...' if len(paths) > 12 else ''}",
                    next_step="print(program.explain()) of a compile without it lists all paths",
                )
            )


Pass = GraphPass | TilePass
Report = Callable[[str, int, int], None]
"""Progress callback: pass name, done, total."""

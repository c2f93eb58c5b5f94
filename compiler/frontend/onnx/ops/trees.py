"""ai.onnx.ml: tree ensembles. All samples descend all trees together, one level a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..node import NodeContext
from ..registry import operator
from .ml import DOMAIN, classified, labels, named, transformed

Tensor = torch.Tensor
_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
_COMPARE: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (torch.le, torch.lt, torch.ge, torch.gt, torch.eq, torch.ne)


@dataclass(frozen=True)
class _Trees:
    """Nodes as columns; a leaf leads to itself.

    Attributes:
        feature, mode, yes, no: int64 (nodes,).
        split: (nodes,) thresholds; nan_yes: where a missing feature goes.
        members: (sets, values) padded with NaN, and the set of each node.
        roots: int64 (trees,).
        votes: (nodes, targets) what a leaf adds; voting: (nodes, targets) where it has a vote.
        depth: Steps until every sample has reached a leaf.
    """

    feature: Tensor
    mode: Tensor
    split: Tensor
    yes: Tensor
    no: Tensor
    nan_yes: Tensor
    leaf: Tensor
    members: Tensor
    member_of: Tensor
    roots: Tensor
    votes: Tensor
    voting: Tensor
    depth: int


def _depth(node: NodeContext, yes: list[int], no: list[int], leaf: list[bool], roots: list[int]) -> int:
    """Longest way from a root to a leaf.

    Raises:
        CaptureError: a branch leads to no node, or in a circle.
    """
    count = len(leaf)
    if not roots or any(not 0 <= target < count for target in (*yes, *no, *roots)):
        raise node.error("a branch of a tree leads to no node", allowed=f"nodes 0 to {count - 1}")
    level, depth = set(roots), 0
    while True:
        level = {child for at in level if not leaf[at] for child in (yes[at], no[at])}
        if not level:
            return depth
        depth += 1
        if depth > count:
            raise node.error("the branches of a tree lead in a circle")


def _leaves(trees: _Trees, x: Tensor) -> Tensor:
    """The leaf (samples, trees) each sample reaches in each tree."""
    at = trees.roots.expand(x.shape[0], -1)
    for _ in range(trees.depth):
        value = torch.gather(x, 1, trees.feature[at])
        split, mode = trees.split[at], trees.mode[at]
        taken = torch.zeros_like(at, dtype=torch.bool)
        for number, compare in enumerate(_COMPARE):
            taken = torch.where(mode == number, compare(value, split), taken)
        if trees.members.shape[0]:
            inside = (value.unsqueeze(-1) == trees.members[trees.member_of[at]]).any(-1)
            taken = torch.where(mode == 6, inside, taken)
        taken = torch.where(torch.isnan(value), trees.nan_yes[at], taken)
        at = torch.where(trees.leaf[at], at, torch.where(taken, trees.yes[at], trees.no[at]))
    return at


def _aggregated(node: NodeContext, trees: _Trees, x: Tensor, how: str, base: Any) -> tuple[Tensor, Tensor]:
    """Scores (samples, targets), and which targets any leaf voted for."""
    if int(trees.feature.max()) >= x.shape[1] or int(trees.feature.min()) < 0:
        got = f"{x.shape[1]} features"
        raise node.input_error(
            0, "a tree reads a feature that is not there", got=got, allowed=f"{int(trees.feature.max()) + 1}"
        )
    dtype = trees.votes.dtype
    leaves = _leaves(trees, x.to(dtype) if x.dtype != torch.float64 else x)
    node.check_size([*leaves.shape, trees.votes.shape[1]])
    votes, voting = trees.votes[leaves], trees.voting[leaves]
    match how:
        case "SUM":
            scores = votes.sum(1)
        case "AVERAGE":
            scores = votes.sum(1) / leaves.shape[1]
        case "MIN" | "MAX":
            empty = torch.full_like(votes, float("inf") if how == "MIN" else float("-inf"))
            picked = torch.where(voting, votes, empty)
            scores = picked.amin(1) if how == "MIN" else picked.amax(1)
            scores = torch.where(voting.any(1), scores, torch.zeros_like(scores))
        case _:
            raise node.error("an unknown way to add up trees", got=how, allowed="SUM, AVERAGE, MIN, MAX")
    return (scores if base is None else scores + base.to(scores.dtype)), voting.any(1)


def _list(node: NodeContext, name: str, wide: bool = False) -> Tensor:
    tensor = node[f"{name}_as_tensor"]
    return tensor.reshape(-1) if tensor is not None else torch.tensor(node[name] or [], dtype=torch.float32)


def _built(node: NodeContext, what: str, targets: int) -> _Trees:
    """The trees of the older operators: nodes by (tree, id), votes by (tree, id)."""
    if "trees" in node.state:
        return node.state["trees"]
    ids = list(zip(node["nodes_treeids"] or [], node["nodes_nodeids"] or [], strict=True))
    place = {key: at for at, key in enumerate(ids)}
    count = len(ids)
    columns = {name: node[f"nodes_{name}"] or [] for name in ("featureids", "modes", "truenodeids", "falsenodeids")}
    splits = _list(node, "nodes_values")
    if not count or len(place) < count or any(len(c) != count for c in columns.values()) or len(splits) != count:
        raise node.error("the columns of the trees do not match", got=f"{count} nodes")
    leaf = [mode == "LEAF" for mode in columns["modes"]]
    unknown = {mode for mode in columns["modes"] if mode != "LEAF" and mode not in _MODES[:6]}
    if unknown:
        raise node.error(
            "an unknown comparison in a tree", got=", ".join(sorted(unknown)), allowed=", ".join(_MODES[:6])
        )
    ends = {}
    for name in ("truenodeids", "falsenodeids"):
        ends[name] = [
            at if leaf[at] else place.get((tree, child), -1)
            for at, ((tree, _), child) in enumerate(zip(ids, columns[name], strict=True))
        ]
    first: dict[int, int] = {}
    for at, (tree, _) in enumerate(ids):
        first.setdefault(tree, at)
    weights = _list(node, f"{what}_weights")
    node.check_size([count, targets])
    votes = torch.zeros(count, targets, dtype=torch.promote_types(weights.dtype, splits.dtype))
    voting = torch.zeros(count, targets, dtype=torch.bool)
    keys = zip(node[f"{what}_treeids"] or [], node[f"{what}_nodeids"] or [], node[f"{what}_ids"] or [], strict=True)
    for number, (tree, at, target) in enumerate(keys):
        if (tree, at) not in place or not 0 <= target < targets or number >= len(weights):
            raise node.error("a leaf's vote leads nowhere", got=f"tree {tree}, node {at}, target {target}")
        votes[place[tree, at], target] += weights[number]
        voting[place[tree, at], target] = True
    missing = node["nodes_missing_value_tracks_true"] or [0] * count
    trees = _Trees(
        torch.tensor(columns["featureids"]),
        torch.tensor([_MODES.index(mode) if mode != "LEAF" else 0 for mode in columns["modes"]]),
        splits,
        torch.tensor(ends["truenodeids"]),
        torch.tensor(ends["falsenodeids"]),
        torch.tensor([bool(item) for item in missing]),
        torch.tensor(leaf),
        torch.empty(0, 0),
        torch.zeros(count, dtype=torch.int64),
        torch.tensor(list(first.values())),
        votes,
        voting,
        _depth(node, ends["truenodeids"], ends["falsenodeids"], leaf, list(first.values())),
    )
    node.state["trees"] = trees
    return trees


def _base(node: NodeContext) -> Tensor | None:
    base = _list(node, "base_values")
    return base if len(base) else None


@operator("TreeEnsembleRegressor", domain=DOMAIN)
def tree_ensemble_regressor(node: NodeContext, x: Tensor) -> Tensor:
    trees = _built(node, "target", node["n_targets"] or 1)
    scores, _ = _aggregated(node, trees, x, node["aggregate_function"], _base(node))
    return transformed(node, scores.to(torch.float32), node["post_transform"])


@operator("TreeEnsembleClassifier", domain=DOMAIN)
def tree_ensemble_classifier(node: NodeContext, x: Tensor) -> tuple[Any, Tensor]:
    classes = labels(node, "classlabels_int64s")
    given = set(node["class_ids"] or [])
    binary = len(classes) == 2 and len(given) == 1
    trees = _built(node, "class", len(classes))
    base = _base(node)
    if not binary:
        scores, voted = _aggregated(node, trees, x, "SUM", base)
        # As onnxruntime does: a class that no leaf votes for is not chosen, whatever its score.
        standing = torch.where(voted, scores, float("-inf"))
        chosen = named(classes, torch.argmax(standing, 1))
        return chosen, transformed(node, scores.to(torch.float32), node["post_transform"])
    scores = _aggregated(node, trees, x, "SUM", None)[0][:, sorted(given)].to(torch.float32)
    if base is not None:
        scores = scores + base[-1:].to(torch.float32)
    return _binary(node, scores, classes)


def _binary(node: NodeContext, scores: Tensor, classes: list[Any]) -> tuple[Any, Tensor]:
    """Votes for one of two classes: a score, or with no transform and weights in 0 to 1 a probability."""
    weights = _list(node, "class_weights")
    probability = bool((weights >= 0).all())
    second = (scores[:, 0] > (0.5 if probability else 0.0)).to(torch.int64)
    if node["post_transform"] == "NONE":
        shown = torch.cat([1 - scores if probability else -scores, scores], 1)
        return named(classes, second), shown
    if node["post_transform"] == "LOGISTIC":
        shown = torch.sigmoid(torch.cat([-scores, scores], 1))
        return named(classes, second), shown
    return classified(node, scores, classes)


@operator("TreeEnsemble", domain=DOMAIN, since=5)
def tree_ensemble(node: NodeContext, x: Tensor) -> Tensor:
    trees = node.state.get("trees") or _flat_trees(node)
    node.state["trees"] = trees
    how = node.get("aggregate_function", 1)
    names = ("AVERAGE", "SUM", "MIN", "MAX")
    scores, _ = _aggregated(node, trees, x, names[how] if 0 <= how < 4 else str(how), None)
    return transformed(node, scores.to(x.dtype), node.get("post_transform", 0))


def _flat_trees(node: NodeContext) -> _Trees:
    """The trees of the newer operator: interior nodes first, then the leaves."""
    features, weights = node["nodes_featureids"], node["leaf_weights"].reshape(-1)
    interior, leaves = len(features), len(weights)
    count, targets = interior + leaves, node["n_targets"] or max(node["leaf_targetids"], default=0) + 1
    node.check_size([count, targets])

    def ends(which: str) -> list[int]:
        children, is_leaf = node[f"nodes_{which}nodeids"], node[f"nodes_{which}leafs"]
        if len(children) != interior or len(is_leaf) != interior:
            raise node.error("the columns of the trees do not match", got=f"{interior} nodes")
        made = [child + interior if flag else child for child, flag in zip(children, is_leaf, strict=True)]
        return [*made, *range(interior, count)]

    modes, splits = node["nodes_modes"].reshape(-1).to(torch.int64), node["nodes_splits"].reshape(-1)
    if len(modes) != interior or len(splits) != interior or len(node["leaf_targetids"]) != leaves:
        raise node.error("the columns of the trees do not match", got=f"{interior} nodes, {leaves} leaves")
    if any(not 0 <= target < targets for target in node["leaf_targetids"]) or bool(((modes < 0) | (modes > 6)).any()):
        raise node.error("a tree has an unknown comparison or target")
    votes = torch.zeros(count, targets, dtype=weights.dtype)
    voting = torch.zeros(count, targets, dtype=torch.bool)
    at = torch.arange(interior, count)
    votes[at, torch.tensor(node["leaf_targetids"])] = weights
    voting[at, torch.tensor(node["leaf_targetids"])] = True
    leaf = [False] * interior + [True] * leaves
    yes, no = ends("true"), ends("false")
    members, member_of = _members(node, modes, splits.dtype)
    missing = node["nodes_missing_value_tracks_true"] or [0] * interior
    blank = torch.zeros(leaves, dtype=torch.int64)
    return _Trees(
        torch.cat([torch.tensor(features, dtype=torch.int64), blank]),
        torch.cat([modes, blank]),
        torch.cat([splits, torch.zeros(leaves, dtype=splits.dtype)]),
        torch.tensor(yes),
        torch.tensor(no),
        torch.tensor([bool(item) for item in missing] + [False] * leaves),
        torch.tensor(leaf),
        members,
        torch.cat([member_of, blank]),
        torch.tensor(node["tree_roots"]),
        votes,
        voting,
        _depth(node, yes, no, leaf, node["tree_roots"]),
    )


def _members(node: NodeContext, modes: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Membership sets, one a row padded with NaN, and the row of each node."""
    wanted = (modes == 6).tolist()
    values = node["membership_values"]
    sets: list[list[float]] = [[]]
    for value in [] if values is None else values.reshape(-1).tolist():
        if value != value:
            sets.append([])
        else:
            sets[-1].append(value)
    if sum(wanted) > len(sets):
        raise node.error("a membership test has no members", got=f"{len(sets)} sets", allowed=f"{sum(wanted)} sets")
    width = max(len(row) for row in sets)
    rows = [row + [float("nan")] * (width - len(row)) for row in sets[: max(sum(wanted), 1)]]
    number, of = 0, []
    for flag in wanted:
        of.append(number if flag else 0)
        number += flag
    return torch.tensor(rows, dtype=dtype).reshape(len(rows), width), torch.tensor(of, dtype=torch.int64)

"""The last lowering: a tile graph becomes the body of a program."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...runtime.errors import VerifyError
from ...runtime.products import factor_cost
from ...runtime.program import (
    Conv2dGeometry,
    Geometry,
    HostStep,
    InputSpec,
    LinearGeometry,
    MatrixStep,
    ProductStep,
    ProgramBody,
    RecurrentStep,
    Step,
    StepCost,
    TileBank,
    batch_is_fixed,
)
from ...runtime.scheduling.plan import Plan
from ...runtime.targets import Target
from ...runtime.values import Ref, TensorType, TupleType, references
from ..ir import LL_OPS, Graph, Node
from ..ir.identity import Owned
from .costs import Sizes, elements, gate_elements, is_view, loop_vectors, macs, sample_sizes
from .input_ranges import bank_ranges


def emit(
    graph: Graph,
    target: Target,
    *,
    layer_targets: Mapping[str, Target],
    example_batch: int,
    ir: Mapping[str, str],
    provenance: Mapping[str, object],
    plan: Plan,
) -> ProgramBody:
    """The program of a tile graph.

    Args:
        graph: A verified tile graph with full tables.
        target: The chip.
        layer_targets: The target of each bank whose layer overrides fields.
        example_batch: Samples of the example inputs.
        ir: IR text of each stage.
        provenance: What made the program: versions, capture method, options.
        plan: How it is to be scheduled.
    """
    steps = tuple(_step(node) for node in graph.nodes)
    sizes = sample_sizes(graph)
    owned = Owned()  # a program is what was compiled, whatever becomes of the model's tensors
    read = {name for node in graph.nodes for name in node.reads} | set(references(graph.outputs))
    return ProgramBody(
        name=graph.name,
        target=target,
        inputs=tuple(InputSpec(value.name, value.type) for value in graph.inputs),
        constants={name: owned.copy(graph.store[name]) for name in graph.store if name in read},
        steps=steps,
        outputs=graph.outputs,
        structure=graph.structure,
        parameters=graph.parameters,
        banks=_with_ranges(graph, target, layer_targets),
        costs={node.name: _cost(node, graph, sizes) for node in graph.nodes},
        example_batch=graph.samples if batch_is_fixed(graph.inputs) else example_batch,
        layer_targets=dict(layer_targets),
        ir=dict(ir),
        provenance=dict(provenance),
        ranges=dict(graph.ranges),
        plan=plan,
    )


def _with_ranges(graph: Graph, target: Target, layer_targets: Mapping[str, Target]) -> dict[str, TileBank]:
    """The banks, with a full scale of their inputs where that is static and the model's own quantizers tell it."""
    banks = dict(graph.tables)
    for name, found in bank_ranges(graph).items():
        mine = layer_targets.get(name, target)
        if mine.encoding.scale == "static":
            full = np.full(banks[name].spec.tiles, found.full_scale(mine), np.float32)
            banks[name] = TileBank(banks[name].spec, {**banks[name].columns, "input_full_scale": full})
    return banks


def _step(node: Node) -> Step:
    reason = node.placement.reason if node.placement else ""
    if node.op == "ll.recurrence":
        return _loop(node, reason)
    if node.op == "ll.product":
        return _product(node, reason)
    if node.op != "ll.mvm":
        op = node.op.removeprefix("aten.")
        return HostStep(node.name, op, node.args, node.kwargs, node.type, node.origin.path, reason)
    source, bias = node.args
    if not isinstance(source, Ref) or not isinstance(node.type, TensorType):
        raise VerifyError(f"%{node.name}: an ll.mvm reads and yields one tensor, got {source} and {node.type}.")
    return MatrixStep(
        node.name,
        str(node.attribute("matrix")),
        source.name,
        _geometry(node),
        bias.name if isinstance(bias, Ref) else None,
        node.type,
        node.origin.path,
        reason,
    )


def _product(node: Node, reason: str) -> ProductStep:
    left, right = node.args
    if not isinstance(left, Ref) or not isinstance(right, Ref) or not isinstance(node.type, TensorType):
        raise VerifyError(f"%{node.name}: an ll.product multiplies two tensors, got {left} and {right}.")
    bank = str(node.attribute("matrix"))
    return ProductStep(node.name, bank, left.name, right.name, node.type, node.origin.path, reason)


def _loop(node: Node, reason: str) -> RecurrentStep:
    source, *states, bias = node.args
    if not isinstance(source, Ref) or not isinstance(node.type, TupleType):
        raise VerifyError(
            f"%{node.name}: an ll.recurrence reads a tensor and yields several, got {source}, {node.type}."
        )
    projection = node.attribute("projection")
    return RecurrentStep(
        node.name,
        str(node.attribute("kind")),
        str(node.attribute("matrix")),
        None if projection is None else str(projection),
        source.name,
        tuple(state.name for state in states if isinstance(state, Ref)),
        bias.name if isinstance(bias, Ref) else None,
        bool(node.attribute("reverse")),
        node.type,
        node.origin.path,
        reason,
    )


def _geometry(node: Node) -> Geometry:
    attributes = dict(node.kwargs)
    if attributes["kind"] == "linear":
        return LinearGeometry()
    fields = {key: attributes[key] for key in ("channels", "kernel", "stride", "padding", "dilation", "groups")}
    return Conv2dGeometry(**fields)  # type: ignore[arg-type]


def _cost(node: Node, graph: Graph, sizes: Sizes) -> StepCost:
    """What one sample asks for; of a batch that is fixed, its share. Host ops that all samples share are rounded up."""
    whole = _whole_cost(node, graph, sizes)
    if node.op in LL_OPS["mvm"] and (whole.macs % graph.samples or whole.vectors % graph.samples):
        raise VerifyError(f"%{node.name}: {whole.vectors} vectors do not share out among {graph.samples} samples.")
    elements = whole.elements if node.op == "ll.product" else -(-whole.elements // graph.samples)
    return StepCost(-(-whole.macs // graph.samples), whole.vectors // graph.samples, elements)


def _whole_cost(node: Node, graph: Graph, sizes: Sizes) -> StepCost:
    outputs = 0 if is_view(node.op) else elements(node.type, sizes)
    if node.op == "ll.recurrence":
        return StepCost(macs(node, graph), loop_vectors(node, sizes), gate_elements(node, graph))
    if node.op == "ll.product":
        spec = graph.tables[str(node.attribute("matrix"))].spec
        return StepCost(macs(node, graph), outputs // (spec.groups * spec.rows), factor_cost(spec))
    if node.op != "ll.mvm":
        return StepCost(macs(node, graph), 0, outputs)
    matrix = next(m for m in graph.matrices if m.name == node.attribute("matrix"))
    return StepCost(macs(node, graph), outputs // (matrix.groups * matrix.rows), outputs)

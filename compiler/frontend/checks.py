"""What a program cannot hold, found in an exported program before it becomes a graph."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind

from ...runtime.errors import CaptureError, complaint
from ...runtime.hostops import is_allowed, training_flag
from ..ir import Node
from ..refusals import why_refused
from .naming import op_name, path_of


def refuse_mutation(program: ExportedProgram) -> None:
    """A program has no state that a run could write to; what it writes to its inputs it writes to copies."""
    mutated = [
        str(spec.target)
        for spec in program.graph_signature.output_specs
        if spec.kind not in (OutputKind.USER_OUTPUT, OutputKind.USER_INPUT_MUTATION)
    ]
    if mutated:
        raise CaptureError(
            complaint(
                "the model writes to its own state while it runs",
                where=", ".join(mutated),
                allowed="a pure function of its inputs",
                next_step="return the new state as an output and pass it back as an input",
            )
        )


def refuse_custom(program: ExportedProgram) -> None:
    """Ops of other libraries than ATen must be on the host's list: their kernels are code."""
    offenders = [
        f"\n  - {path_of(node) or node.name}: {op}: {why_refused(op)}"
        for node in program.graph.nodes
        if node.op == "call_function" and not (op := op_name(node.target)).startswith(("aten.", "py."))
        if not is_allowed(op)
    ]
    if offenders:
        raise CaptureError(
            complaint(
                f"{len(offenders)} op(s) are not of torch itself",
                got="".join(offenders),
                next_step="compile the parts before and after them",
            )
        )


def refuse_training(nodes: tuple[Node, ...]) -> None:
    """Calls such as ``F.dropout(x)`` train whatever the mode of the model: no module tells."""
    found = [(node, training_flag(node.op.removeprefix("aten."), node.args, dict(node.kwargs))) for node in nodes]
    offenders = [f"{node.origin.path or node.name} ({node.op}: {flag} is on)" for node, flag in found if flag]
    if offenders:
        raise CaptureError(
            complaint(
                f"{len(offenders)} op(s) ask for training behaviour",
                where=", ".join(offenders[:8]) + (" and more" if len(offenders) > 8 else ""),
                allowed="inference: no random masks, no statistics written",
                next_step="call model.eval(), and give functions such as F.dropout training=self.training",
            )
        )


def refuse_strides(node: torch.fx.Node) -> None:
    """Strides mean something in the memory that the tensor had when traced, which only a contiguous one has always."""
    source = node.args[0].meta.get("val") if isinstance(node.args[0], torch.fx.Node) else None
    if not isinstance(source, torch.Tensor) or not source.is_contiguous() or source.storage_offset():
        raise CaptureError(
            complaint(
                "as_strided of a tensor that is not contiguous",
                where=path_of(node) or node.name,
                next_step="call .contiguous() before it, or use views such as unfold, narrow and transpose",
            )
        )

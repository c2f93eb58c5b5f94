"""Every product with one constant operand becomes a layer: ``ll.linear``, or a 1 x 1 ``ll.conv2d`` of many matrices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import torch

from ...runtime.targets import Target
from ...runtime.values import Ref, TensorType, references, rename
from ..ir import Graph, Node, Origin
from .axes import AxisChain, permutation
from .constants import Constants
from .product_chains import pairs
from .product_operands import Operands, UnspelledError, sorted_out
from .products import Product, product_of
from .spell_bilinear import spell_bilinear

_RESHAPES = ("aten.view.default", "aten._unsafe_view.default", "aten.reshape.default")


@dataclass(frozen=True, slots=True)
class _Result:
    """Labels of a product's result, and those (``rows``) that number the outputs of its layer, in that order."""

    layer: str
    labels: tuple[str, ...]
    rows: tuple[str, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class SpellProducts:
    """One spelling for each product of a runtime value with a constant.

    The constant may be on either side and of any rank. Its axes that only it has number the layer's outputs, the
    summed ones its inputs; axes that both operands and the result share number independent matrices: the groups of a
    1 x 1 convolution. Transposes of weights are views of the same memory; those of inputs and results are host views.
    A bilinear layer is such a product, and a short sum on the host. A constant added to such a result along the
    layer's outputs becomes its bias where it has none: the same sum.
    """

    name: ClassVar[str] = "spell_products"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        del target
        return _Spelling(graph, self.name).graph()


class _Spelling:
    """State of one run of the pass."""

    def __init__(self, graph: Graph, via: str) -> None:
        self.source = graph
        self.via = via
        self.types = graph.types()
        self.constants = Constants(graph)
        self.readers = Counter(name for node in graph.nodes for name in node.reads)
        self.readers.update(references(graph.outputs))
        self.names: dict[str, str] = {}
        self.nodes: dict[str, Node] = {}
        self.results: dict[str, _Result] = {}
        self.repeated: dict[str, str] = {}

    def graph(self) -> Graph:
        """The graph with every product spelled."""
        for whole in self.source.nodes:
            bilinear = spell_bilinear(whole, self.types, self.constants)
            for node in bilinear or pairs(whole, self.types, self.constants):
                self.types[node.name] = node.type
                self._take(
                    replace(
                        node,
                        args=tuple(rename(arg, self.names) for arg in node.args),
                        kwargs=tuple((key, rename(value, self.names)) for key, value in node.kwargs),
                    )
                )
        outputs = tuple(rename(arg, self.names) for arg in self.source.outputs)
        return self.constants.into(replace(self.source, outputs=outputs), tuple(self.nodes.values()))

    def _take(self, node: Node) -> None:
        if self._is_bias(node):
            return
        product = product_of(node, self.types)
        usual = node.op == "ll.linear" and product is not None and len(product.right_labels) == 2
        if product is not None and not (usual and product.left.name not in self.constants.store):
            try:
                operands = sorted_out(product, self.types, self.constants.store, self.repeated)
            except UnspelledError:
                pass
            else:
                self._layer(node, product, operands)
                return
        self.nodes[node.name] = node
        self._follow(node, product if usual else None)
        self._repeat(node)

    def _layer(self, node: Node, product: Product, found: Operands) -> None:
        """Replace a product by views, a layer and views."""
        origin = Origin(node.origin.path or self.constants.home(found.weight), node.origin.passes).via(self.via)
        found = self._untransposed(found)
        chain = AxisChain(node, origin, found.x, found.kind, found.x_labels, self.constants.unique)
        inputs, outputs = prod(map(found.size, found.cols)), prod(map(found.size, found.rows))
        labels = (*found.blocks, *found.rows)
        sizes = tuple(map(found.size, labels))
        dtype = node.type.dtype if isinstance(node.type, TensorType) else found.kind.dtype
        weight = self._weight(found, product.alpha, inputs, outputs)
        addend = self._bias(product.addend, product.beta, product.out, labels, sizes, dtype)
        if found.blocks:
            layer = chain.convolve(found.free, found.blocks, found.cols, found.rows, sizes, weight, addend)
        else:
            layer = chain.multiply(found.free, found.cols, found.rows, sizes, weight, addend, dtype)
        chain.arrange(product.out)
        if product.addend is not None and addend is None:
            chain.add(product.addend, product.beta, node.type)
        last = chain.finish(node.name)
        for made in chain.nodes:
            self.nodes[made.name] = made
            self.types[made.name] = made.type
        if product.addend is None:
            layer = node.name if last == layer else layer
            self.results[node.name] = _Result(layer, product.out, labels, sizes)

    def _untransposed(self, found: Operands) -> Operands:
        """The operands with transposes of the runtime value taken into its labels."""
        while found.x.name in self.nodes and found.x.name not in self.results:
            source = self.nodes[found.x.name]
            x, order = source.args[0], permutation(source, len(found.x_labels))
            kind = self.types.get(x.name) if isinstance(x, Ref) else None
            if order is None or not isinstance(x, Ref) or not isinstance(kind, TensorType):
                break
            labels = tuple(found.x_labels[order.index(axis)] for axis in range(len(order)))
            free = tuple(label for label in labels if label in found.free)
            found = replace(found, x=x, kind=kind, x_labels=labels, free=free)
        return found

    def _weight(self, found: Operands, alpha: float, inputs: int, outputs: int) -> Ref:
        """The layer's weights: (outputs, inputs), or (blocks * outputs, inputs, 1, 1)."""
        order = [found.weight_labels.index(label) for label in (*found.blocks, *found.rows, *found.cols)]
        shape = (-1, inputs, 1, 1) if found.blocks else (outputs, inputs)
        key = (found.name, tuple(found.weight.shape), found.weight.stride(), tuple(order), shape, alpha)

        def make() -> torch.Tensor:
            weight = found.weight.permute(order).reshape(shape)
            return weight if alpha == 1 else weight * alpha

        return self.constants.made(key, f"{self.constants.home(found.weight) or found.name}$matrix", make)

    def _bias(
        self,
        addend: object,
        beta: float,
        out: tuple[str, ...],
        rows: tuple[str, ...],
        sizes: tuple[int, ...],
        dtype: str,
    ) -> Ref | None:
        """The constant that the addend is to the layer's outputs, if it is one and the same for every vector."""
        if not isinstance(addend, Ref) or addend.name not in self.constants.store:
            return None
        tensor = self.constants.store[addend.name]
        kind = self.types[addend.name]
        if not isinstance(kind, TensorType) or kind.dtype != dtype or tensor.ndim > len(out) or not tensor.numel():
            return None
        labels = out[len(out) - tensor.ndim :]
        if any(size != 1 and label not in rows for label, size in zip(labels, tensor.shape, strict=True)):
            return None

        def make() -> torch.Tensor:
            mine = [label for label in labels if label in rows]
            kept = tensor.reshape([size for label, size in zip(labels, tensor.shape, strict=True) if label in rows])
            ordered = kept.permute([mine.index(label) for label in rows if label in mine])
            grown = ordered[tuple(slice(None) if label in mine else None for label in rows)]
            bias = grown.expand(sizes).reshape(-1)
            return bias if beta == 1 else bias * beta

        return self.constants.made((addend.name, labels, rows, sizes, beta), f"{addend.name}$bias", make)

    def _follow(self, node: Node, product: Product | None) -> None:
        """Remember where the outputs of a layer lie in a value: the layer's own result, or a reshape of it."""
        kind = node.type
        if not isinstance(kind, TensorType) or not kind.shape or not isinstance(kind.shape[-1], int):
            return
        if product is not None and node.args[2] is None and product.right.name in self.constants.store:
            self.results[node.name] = _Result(node.name, product.out, product.out[-1:], (kind.shape[-1],))
        source = node.args[0].name if node.op in _RESHAPES and isinstance(node.args[0], Ref) else ""
        result = self.results.get(source)
        if (
            result is not None
            and self.readers[source] == 1
            and result.rows == result.labels[-1:]
            and kind.shape[-1:] == result.sizes
        ):
            labels = (*(f"v{axis}" for axis in range(len(kind.shape) - 1)), result.rows[0])
            self.results[node.name] = replace(result, labels=labels)

    def _repeat(self, node: Node) -> None:
        """Note a value that repeats a constant along leading axes: an expand, or a view that merges these axes."""
        source = node.args[0].name if node.args and isinstance(node.args[0], Ref) else ""
        if node.op != "aten.expand.default" and not (node.op in _RESHAPES and source in self.repeated):
            return
        constant = self.repeated.get(source, source)
        own = tuple(self.constants.store[constant].shape) if constant in self.constants.store else ()
        if own and isinstance(node.type, TensorType) and node.type.shape[-len(own) :] == own:
            self.repeated[node.name] = constant

    def _is_bias(self, node: Node) -> bool:
        """Make a sum of a layer's result and a constant the layer's bias; False if the node is no such sum."""
        if node.op != "aten.add.Tensor" or len(node.args) != 2:
            return False
        scale = dict(node.kwargs).get("alpha", 1)
        for product, constant, beta in ((*node.args, scale), (*reversed(node.args), 1 if scale == 1 else None)):
            result = self.results.get(product.name) if isinstance(product, Ref) else None
            if result is None or beta is None or not isinstance(product, Ref) or self.readers[product.name] != 1:
                continue
            layer = self.nodes[result.layer]
            if layer.args[2] is not None or node.type != self.types[product.name]:
                continue
            if not isinstance(node.type, TensorType):
                continue
            bias = self._bias(constant, float(beta), result.labels, result.rows, result.sizes, node.type.dtype)  # type: ignore[arg-type]
            if bias is None:
                continue
            self.nodes[result.layer] = replace(layer, args=(*layer.args[:2], bias), origin=layer.origin.via(self.via))
            self.names[node.name] = product.name
            # the sum's readers now read the product
            self.readers[product.name] = self.readers[node.name]
            return True
        return False

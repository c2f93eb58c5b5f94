"""Every spelling of a product with a constant: the same layer, the same tiles, the numbers of eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lightloom.compiler.ir import Graph, Node, Value, verify
from lightloom.compiler.passes.products import einsum_labels
from lightloom.compiler.passes.spell_products import SpellProducts
from lightloom.compiler.pipeline import Compilation, compile_model
from lightloom.runtime import targets
from lightloom.runtime.executor import run
from lightloom.runtime.hostops import arguments, resolve
from lightloom.runtime.program import MatrixStep
from lightloom.runtime.values import Ref, TensorType, dtype_name

TARGET = targets.get("mzi16")
Forward = Callable[["Spelled", torch.Tensor], torch.Tensor]


class Spelled(nn.Module):
    """A module that computes what it is told to, with parameters of several ranks."""

    def __init__(self, *spellings: Forward) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.spellings = spellings
        self.matrix = nn.Parameter(torch.randn(5, 8))
        self.many = nn.Parameter(torch.randn(3, 8, 5))
        self.vector = nn.Parameter(torch.randn(8))
        self.bias = nn.Parameter(torch.randn(5))
        self.biases = nn.Parameter(torch.randn(3, 5))
        self.scalar = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(spelling(self, x) for spelling in self.spellings)


def compiled(x: torch.Tensor, *spellings: Forward) -> tuple[Spelled, Compilation]:
    model = Spelled(*spellings).eval()
    return model, compile_model(model, x, TARGET)


def assert_parity(model: nn.Module, found: Compilation, *inputs: torch.Tensor) -> None:
    assert found.body is not None
    for x in inputs:
        for want, got in zip(model(x), run(found.body, (x,), ideal=True), strict=True):
            assert got.shape == want.shape
            if want.numel():
                assert float(((got - want).abs().max() / want.abs().max()).detach()) < 1e-5


def on_chip(found: Compilation) -> list[MatrixStep]:
    assert found.body is not None
    left = [
        step.name for step in found.body.steps if not isinstance(step, MatrixStep) and found.body.costs[step.name].macs
    ]
    assert not left, f"products on the host: {left}"
    return list(found.body.matrix_steps)


LAYER: dict[str, Forward] = {
    "linear": lambda m, x: F.linear(x, m.matrix, m.bias),
    "linear, then bias": lambda m, x: F.linear(x, m.matrix) + m.bias,
    "matmul": lambda m, x: x @ m.matrix.t() + m.bias,
    "bias first": lambda m, x: m.bias + x @ m.matrix.T,
    "einsum": lambda m, x: torch.einsum("bti,oi->bto", x, m.matrix) + m.bias,
    "einsum, constant first": lambda m, x: torch.einsum("oi,...i->...o", m.matrix, x) + m.bias,
    "tensordot": lambda m, x: torch.tensordot(x, m.matrix, dims=([2], [1])) + m.bias,
    "inner": lambda m, x: torch.inner(x, m.matrix) + m.bias,
    "constant on the left": lambda m, x: (m.matrix @ x.transpose(1, 2) + m.bias[:, None]).transpose(1, 2),
    "addmm": lambda m, x: torch.addmm(m.bias, x.flatten(0, 1), m.matrix.t()).unflatten(0, (-1, 6)),
    "mm": lambda m, x: torch.mm(x.reshape(-1, 8), m.matrix.t()).view(-1, 6, 5) + m.bias,
    "linalg": lambda m, x: torch.linalg.matmul(x, m.matrix.mT) + m.bias,
}  # fmt: skip


def test_spellings_of_one_layer_share_its_tiles() -> None:
    x = torch.randn(4, 6, 8)
    model, found = compiled(x, *LAYER.values())
    steps = on_chip(found)
    assert len(steps) == len(LAYER)
    assert len({step.bank for step in steps}) == 1
    assert {step.bias for step in steps} == {"bias"}
    assert_parity(model, found, x, torch.randn(1, 6, 8), torch.randn(0, 6, 8))


def test_spellings_of_equal_layers_have_equal_tiles() -> None:
    banks = []
    for name in ("linear", "constant on the left", "einsum"):
        _, found = compiled(torch.randn(2, 6, 8), LAYER[name])
        assert found.body is not None
        banks += found.body.banks.values()
    first, *others = banks
    assert len(others) == 2
    for other in others:
        assert other.columns.keys() == first.columns.keys()
        for name, column in other.columns.items():
            np.testing.assert_array_equal(column, first.columns[name])


OTHERS: dict[str, tuple[Forward, tuple[int, ...], int]] = {
    "a matrix a head": (lambda m, x: torch.einsum("bhti,hij->bhtj", x, m.many), (4, 3, 6, 8), 3),
    "a matrix a head, with bias": (lambda m, x: torch.einsum("bhti,hij->bthj", x, m.many) + m.biases, (4, 3, 6, 8), 3),
    "many matrices": (lambda m, x: x @ m.many, (4, 3, 6, 8), 3),
    "many matrices of one input": (lambda m, x: x[:, None, None, :] @ m.many, (4, 8), 1),
    "bmm": (lambda m, x: torch.bmm(x.transpose(0, 1)[:3], m.many), (4, 6, 8), 3),
    "baddbmm": (lambda m, x: torch.baddbmm(m.biases[:, None], x[None].expand(3, -1, -1), m.many), (4, 8), 3),
    "addbmm": (lambda m, x: torch.addbmm(m.bias, x[None].expand(3, -1, -1), m.many), (4, 8), 1),
    "two summed axes": (lambda m, x: torch.tensordot(x, m.many, dims=([1, 3], [0, 1])), (4, 3, 6, 8), 1),
    "five free axes": (lambda m, x: torch.einsum("abcdei,cij->abcdej", x, m.many), (4, 2, 3, 2, 2, 8), 3),
    "mv": (lambda m, x: torch.mv(x, m.vector) + m.scalar, (4, 8), 1),
    "addmv": (lambda m, x: torch.addmv(x[:, 0], x, m.vector, beta=2, alpha=0.5), (4, 8), 1),
    "a vector on the left": (lambda m, x: m.vector @ x.transpose(1, 2), (4, 6, 8), 1),
    "linear of a vector": (lambda m, x: F.linear(x, m.vector), (4, 6, 8), 1),
    "vecdot": (lambda m, x: torch.linalg.vecdot(x, m.vector), (4, 6, 8), 1),
    "scaled": (lambda m, x: torch.addmm(m.bias, x, m.matrix.t(), beta=0.5, alpha=2), (4, 8), 1),
    "an addend of the input": (lambda m, x: torch.addmm(x[:, :5], x, m.matrix.t(), beta=0.5), (4, 8), 1),
    "fused projections": (lambda m, x: (x @ torch.cat([m.matrix.t(), m.matrix.t() * 2], 1)), (4, 8), 1),
    "a bias along another axis": (lambda m, x: x @ m.matrix.t() + m.bias[:, None], (4, 5, 8), 1),
    "three operands": (lambda m, x: torch.einsum("bi,oi,oj->bj", x, m.matrix, m.matrix), (4, 8), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_products(name: str) -> None:
    spelling, shape, groups = OTHERS[name]
    x = torch.randn(shape)
    model, found = compiled(x, spelling)
    steps = on_chip(found)
    assert found.body is not None
    for step in steps:
        spec = found.body.banks[step.bank].spec
        assert spec.groups * spec.blocks == groups
    assert_parity(model, found, x, x[:1], x[:0], torch.randn(7, *shape[1:]))


def test_a_chain_of_matrices_is_taken_apart() -> None:
    x = torch.randn(4, 8)
    model, found = compiled(x, lambda m, x: torch.linalg.multi_dot([x, m.matrix.t(), m.matrix, m.matrix.t()]))
    assert len(on_chip(found)) == 3
    assert_parity(model, found, x)


def test_a_product_of_two_runtime_values_stays_on_the_host() -> None:
    _, found = compiled(torch.randn(4, 6, 8), LAYER["linear"], lambda _, x: x @ x.transpose(1, 2))
    assert found.body is not None
    (product,) = [step for step in found.body.steps if getattr(step, "op", "") == "matmul.default"]
    assert product.reason.startswith("both operands are computed at run time")
    assert found.body.costs[product.name].macs == 6 * 6 * 8


def test_a_product_that_sums_nothing_stays_on_the_host() -> None:
    _, found = compiled(torch.randn(4, 6, 8), LAYER["linear"], lambda m, x: m.many[:, :, :1] @ x[:, :3, None, :])
    assert found.body is not None
    reasons = [step.reason for step in found.body.steps if getattr(step, "op", "") == "matmul.default"]
    assert reasons == ["it sums nothing: each result is one product, which the host computes exactly"]


def test_a_bias_is_folded_only_where_nothing_else_sees_the_sum_without_it() -> None:
    def twice(m: Spelled, x: torch.Tensor) -> torch.Tensor:
        y = x @ m.matrix.t()
        return torch.cat([y + m.bias, y], -1)

    x = torch.randn(4, 8)
    model, found = compiled(x, twice, lambda m, x: (x @ m.matrix.t() + m.bias) + m.bias)
    assert sorted(str(step.bias) for step in on_chip(found)) == ["None", "bias"]
    assert_parity(model, found, x)


def evaluate(graph: Graph, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """What an ``nn`` graph computes, op by op, in eager PyTorch."""
    values: dict[str, torch.Tensor] = {**graph.store, **inputs}
    for node in graph.nodes:
        args, kwargs = arguments(node.args, node.kwargs, values)
        if node.op == "ll.linear":
            values[node.name] = F.linear(*args)
        elif node.op == "ll.conv2d":
            assert kwargs.pop("padding") == [0, 0, 0, 0]
            values[node.name] = F.conv2d(*args, **kwargs)
        else:
            values[node.name] = resolve(node.op.removeprefix("aten."))(*args, **kwargs)
        assert isinstance(node.type, TensorType)
        assert tuple(values[node.name].shape) == node.type.shape, node
    assert isinstance(graph.outputs[0], Ref)
    return values[graph.outputs[0].name]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_einsum_with_a_constant(data: st.DataObject) -> None:
    """Labels of every role, in any order, of any small size; the first free axis may be empty."""
    roles = {
        role: "".join(labels[: data.draw(st.integers(low, 2))])
        for role, labels, low in (("b", "ab", 0), ("k", "kl", 1), ("n", "no", 0), ("m", "mpq", 0))
    }

    def shuffled(letters: str) -> str:
        return "".join(data.draw(st.sampled_from(list(permutations(letters)))))

    x_term, w_term = shuffled(roles["b"] + roles["k"] + roles["m"]), shuffled(roles["b"] + roles["k"] + roles["n"])
    out = shuffled(roles["b"] + roles["m"] + roles["n"])
    samples = next((letter for letter in out if letter in roles["m"]), "")
    sizes = {letter: data.draw(st.integers(0 if letter == samples else 1, 3)) for letter in sorted({*x_term, *w_term})}
    torch.manual_seed(0)
    x, w = (torch.randn([sizes[letter] for letter in term]) for term in (x_term, w_term))
    swap = data.draw(st.booleans())
    equation = f"{w_term},{x_term}->{out}" if swap else f"{x_term},{w_term}->{out}"
    operands = (Ref("w"), Ref("x")) if swap else (Ref("x"), Ref("w"))
    want = torch.einsum(equation, *((w, x) if swap else (x, w)))
    kinds = {name: TensorType(dtype_name(t.dtype), tuple(t.shape)) for name, t in (("x", x), ("w", w), ("y", want))}
    node = Node("y", "aten.einsum.default", (equation, operands), kinds["y"])
    graph = Graph("nn", "g", (Value("x", kinds["x"]),), (Value("w", kinds["w"]),), (node,), (Ref("y"),), store={"w": w})
    spelled = SpellProducts().run(graph, TARGET)
    verify(spelled)
    sums = any(sizes[letter] > 1 for letter in roles["k"]) and x.numel()
    assert any(node.op.startswith("ll.") for node in spelled.nodes) or not sums
    torch.testing.assert_close(evaluate(spelled, {"x": x}), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("ii,ij->j", ((3, 3), (3, 4))), ("ij,jk", ((2, 3), (4, 5))), ("i,j,k->ijk", ((1,), (2,)))],
)
def test_einsums_that_are_no_plain_product(equation: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    assert einsum_labels(equation, *shapes) is None


def test_an_einsum_without_an_arrow() -> None:
    assert einsum_labels("ba, ac", (2, 3), (3, 4)) == (("b", "a"), ("a", "c"), ("b", "c"))


class Block(nn.Module):
    """Attention and linear layers with and without bias, as transformers have them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down = nn.Linear(8, 20), nn.Linear(20, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(x, x, x, need_weights=False)[0]
        return x + self.down(torch.relu(self.up(x)))


def test_a_decomposed_program_has_the_same_tiles() -> None:
    """Core ATen spells linear layers as addmm of a permuted weight, or as bmm of a repeated one."""
    model, x = Block().eval().requires_grad_(False), torch.randn(3, 6, 8)
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    bodies = [compile_model(program, x, TARGET).body for program in (exported, exported.run_decompositions())]
    banks = []
    for body in bodies:
        assert body is not None
        got = run(body, (x[:2],), ideal=True)
        assert float((got - model(x[:2])).abs().max() / got.abs().max()) < 1e-5
        banks.append([body.banks[step.bank] for step in body.matrix_steps])
        host = {
            step.reason[:42] for step in body.steps if not isinstance(step, MatrixStep) and body.costs[step.name].macs
        }
        assert host == {"both operands are computed at run time (dy"}
    assert len(banks[0]) == len(banks[1]) == 4
    for one, other in zip(*banks, strict=True):
        for name in one.columns:
            np.testing.assert_array_equal(one.columns[name], other.columns[name])

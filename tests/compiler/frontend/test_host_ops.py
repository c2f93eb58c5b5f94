"""All else runs on the host: what stands beside a real layer compiles, runs and is right, in memory and from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightloom as ll


class Beside(nn.Module):
    """A linear layer, then any function of its result."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.fc(x))


def agree(model: nn.Module, *inputs: Tensor, path: Path | None = None) -> ll.Program:
    """The program of a model whose ideal run is the model's own, within float noise."""
    program = ll.compile(model.eval(), inputs, "ideal")
    with torch.no_grad():
        wanted = model(*inputs)
    if path is not None:
        program.save(path / "model.loom")
        program = ll.load(path / "model.loom")
    got = program.run(*inputs, ideal=True)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4, equal_nan=True)
    return program


def spd(y: Tensor) -> Tensor:
    """Symmetric, positive, with well-parted eigenvalues."""
    return (y.mT @ y)[None] / 8 + torch.diag(torch.arange(1.0, 5.0))


LOSSES = {
    "mse": lambda y: F.mse_loss(y, y * 0.5),
    "l1": lambda y: F.l1_loss(y, y * 0.5),
    "smooth_l1": lambda y: F.smooth_l1_loss(y, y * 0.5),
    "huber": lambda y: F.huber_loss(y, y * 0.5, delta=0.3),
    "bce": lambda y: F.binary_cross_entropy(y.sigmoid(), torch.ones_like(y)),
    "bce_logits": lambda y: F.binary_cross_entropy_with_logits(y, torch.ones_like(y)),
    "cross_entropy": lambda y: F.cross_entropy(y, torch.tensor([0, 1, 2]), reduction="none"),
    "nll": lambda y: F.nll_loss(y.log_softmax(-1), torch.tensor([0, 1, 2])),
    "kl": lambda y: F.kl_div(y.log_softmax(-1), y.softmax(-1).flip(-1), reduction="batchmean"),
    "poisson": lambda y: F.poisson_nll_loss(y, torch.ones_like(y)),
    "cosine": lambda y: F.cosine_embedding_loss(y, y.flip(0), torch.tensor([1, -1, 1])),
    "hinge": lambda y: F.hinge_embedding_loss(y, torch.ones_like(y)),
    "ranking": lambda y: F.margin_ranking_loss(y[:, 0], y[:, 1], torch.tensor([1, -1, 1])),
    "multi_margin": lambda y: F.multi_margin_loss(y, torch.tensor([0, 1, 2])),
    "multilabel_margin": lambda y: F.multilabel_margin_loss(y, torch.tensor([[0, -1, 0, 0]] * 3)),
    "soft_margin": lambda y: F.soft_margin_loss(y, torch.ones_like(y)),
    "triplet": lambda y: F.triplet_margin_loss(y, y.flip(0), y * 2),
}

ALGEBRA = {
    "nuclear": lambda y: torch.linalg.matrix_norm(y, "nuc"),
    "frobenius": lambda y: torch.linalg.matrix_norm(y),
    "spectral": lambda y: torch.linalg.norm(y, 2),
    "triangular": lambda y: torch.linalg.solve_triangular(spd(y).tril(), spd(y), upper=False),
    "old triangular": lambda y: torch.triangular_solve(spd(y), spd(y).triu()).solution,
    "eigenvalues": lambda y: torch.linalg.eigvalsh(spd(y)),
    "eig": lambda y: torch.linalg.eigvals(spd(y)).real.sort().values,
    "singular values": lambda y: torch.linalg.svdvals(y),
    "slogdet": lambda y: torch.linalg.slogdet(spd(y)),
    "logdet": lambda y: torch.logdet(spd(y)),
    "cholesky": lambda y: torch.cholesky_solve(spd(y), torch.linalg.cholesky(spd(y))),
    "lu": lambda y: torch.linalg.lu(spd(y)),
    "lu_solve": lambda y: torch.linalg.lu_solve(*torch.linalg.lu_factor(spd(y)), spd(y)),
    "ldl": lambda y: torch.linalg.ldl_factor(spd(y)).LD,
    "condition": lambda y: torch.linalg.cond(spd(y)),
    "rank": lambda y: torch.linalg.matrix_rank(spd(y)),
    "tensorsolve": lambda y: torch.linalg.tensorsolve(spd(y)[0], y[0]),
    "matrix_exp": lambda y: torch.linalg.matrix_exp(spd(y) / 9),
}

SPECIAL = {
    "bessel": lambda y: torch.special.bessel_j0(y) + torch.special.i1e(y),
    "gamma": lambda y: torch.special.gammainc(y.abs() + 1, y.abs()) + torch.mvlgamma(y.abs() + 2, 2),
    "entropy": lambda y: torch.special.entr(y) + torch.special.xlog1py(y, y.abs()),
    "normal": lambda y: torch.special.log_ndtr(y) + torch.special.ndtri(y.sigmoid()),
    "zeta": lambda y: torch.special.zeta(y.abs() + 2, 1.5),
    "polynomials": lambda y: torch.special.hermite_polynomial_h(y, 3) + torch.special.legendre_polynomial_p(y, 2),
    "frexp": lambda y: torch.frexp(y),
    "rrelu": lambda y: F.rrelu(y),
    "gradient": lambda y: torch.gradient(y, dim=1)[0],
    "hfft2": lambda y: torch.fft.hfft2(torch.complex(y, y * 2)),
    "as_strided": lambda y: torch.as_strided(y, (2, 2), (1, 2), 1) + y.as_strided((2, 2), (4, 0)),
    "memory by strides": lambda y: (
        y + y.new_empty_strided((4,), (2,)).fill_(3) + torch.empty_strided((4,), (1,)).fill_(2)
    ),
    "unfold": lambda y: y.unfold(1, 2, 1),
    "window": lambda y: y * torch.hamming_window(4, True, 0.5),
    "embedding_bag": lambda y: F.embedding_bag(torch.tensor([[0, 2], [1, 1]]), y),
    "batch statistics": lambda y: F.batch_norm(y, None, None, training=True),
    "item": lambda y: y * y.abs().sum().item(),
    "local response": lambda y: F.local_response_norm(y[:, None], 2),
    "one number": lambda y: torch.tensor(2.5) * y,
}

COMPLEX = {
    "literal": lambda y: (y * 2j + (0.1 - 1e-3j)).abs(),
    "power": lambda y: torch.view_as_real((1 + 1j) ** y),
    "fill": lambda y: torch.view_as_real(torch.full((2,), 1j) * y[:2, 0]),
    "half": lambda y: y.chalf().to(torch.complex64).abs() * 2,
}

FLOAT8 = {
    "e4m3fn": lambda y: y.to(torch.float8_e4m3fn).float(),
    "e5m2": lambda y: y.to(torch.float8_e5m2).float(),
    "out": lambda y: y.to(torch.float8_e5m2).view(torch.uint8),
}

ALL = {**LOSSES, **ALGEBRA, **SPECIAL, **COMPLEX, **FLOAT8}


@pytest.mark.parametrize("name", ALL)
def test_beside_a_layer(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    agree(Beside(ALL[name]), torch.randn(3, 4), path=tmp_path)


class Numbers(nn.Module):
    """A layer of other numbers beside a real one."""

    def __init__(self, layer: nn.Module, take: Callable[[Tensor], Tensor], give: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.layer, self.take, self.give = layer, take, give

    def forward(self, x: Tensor) -> Tensor:
        return self.give(self.layer(self.take(self.fc(x))))


class Integers(nn.Module):
    """``F.linear`` and ``F.conv1d`` of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Buffer(torch.randint(-9, 9, (6, 6)))
        self.kernel = nn.Buffer(torch.randint(-9, 9, (2, 1, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(F.linear(x, self.weight)[:, None], self.kernel)


OTHERS = {
    "complex linear": (nn.Linear(3, 2, dtype=torch.complex64), "complex"),
    "complex conv1d": (nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2, dtype=torch.complex64)), "complex"),
    "complex conv2d": (
        nn.Sequential(nn.Unflatten(1, (1, 1, 3)), nn.Conv2d(1, 2, (1, 2), padding="same", dtype=torch.complex64)),
        "complex",
    ),
    "complex transposed": (
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.ConvTranspose1d(1, 2, 2, dtype=torch.complex64)),
        "complex",
    ),
    "integers": (Integers(), "integer"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_layers_of_other_numbers_run_on_the_host(name: str, tmp_path: Path) -> None:
    layer, kind = OTHERS[name]
    torch.manual_seed(2)
    model = (
        Numbers(layer, lambda y: torch.view_as_complex(y.reshape(-1, 3, 2)), torch.view_as_real)
        if kind == "complex"
        else Numbers(layer, lambda y: (y * 9).round().long(), Tensor.float)
    )
    program = agree(model, torch.randn(5, 6), path=tmp_path)
    assert len(program.body.banks) == 1
    assert "real numbers" in str(program.explain())


@pytest.mark.parametrize("first", [3, 5])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(4,), (4, 2)])
def test_a_bilinear_layer_reaches_the_chip(first: int, bias: bool, lead: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    layer = nn.Bilinear(first, 4, 6, bias=bias)
    program = agree(layer, torch.randn(*lead, first), torch.randn(*lead, 4))
    (matrix,) = (bank.spec for bank in program.body.banks.values())
    assert (matrix.rows, matrix.cols) == (6 * min(first, 4), max(first, 4)), "the host sums over the shorter input"


@torch.library.custom_op("lightloom_tests::stretched", mutates_args=())
def stretched(x: Tensor) -> Tensor:
    """A custom op whose body is torch."""
    return F.mse_loss(x, x * 2, reduction="none") + torch.full_like(x, 0.5)


@stretched.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("lightloom_tests::opaque", mutates_args=())
def opaque(x: Tensor) -> Tensor:
    """A custom op whose body leaves torch."""
    return torch.from_numpy(x.numpy() * 2)


@opaque.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


SPELLED = {
    "custom op": stretched,
    "foreach": lambda y: torch.ops.aten._foreach_mul.ScalarList([y, y + 1], [2.0, 3.0]),
    "foreach lerp": lambda y: torch.ops.aten._foreach_lerp.Scalar([y], [y * 2], 0.3),
    "gradient of gelu": lambda y: torch.ops.aten.gelu_backward(y, y),
    "a custom op with writes beside it": lambda y: stretched(y).add_(1).t().mul_(y.t()),
}


@pytest.mark.parametrize("name", SPELLED)
def test_what_the_host_lacks_is_spelled_in_what_it_has(name: str, tmp_path: Path) -> None:
    agree(Beside(SPELLED[name]), torch.randn(3, 4), path=tmp_path)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (opaque, r"lightloom_tests.opaque.default: a custom op: its kernel is code"),
        (lambda y: torch.rand_like(y) * y, r"aten.rand_like.default: draws random numbers"),
        (lambda y: y.t().as_strided((2, 2), (1, 2)), r"as_strided of a tensor that is not contiguous"),
        (lambda y: torch.bernoulli(y.sigmoid()), r"aten.bernoulli.default: draws random numbers"),
    ],
)
def test_what_remains_is_named_with_its_reason(function: Callable[[Tensor], Tensor], reason: str) -> None:
    with pytest.raises(ll.LightloomError, match=reason):
        ll.compile(Beside(function).eval(), torch.randn(3, 4), "ideal")

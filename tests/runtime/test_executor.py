"""The batched executor: right numbers, any batch, no dependence on how a run is cut, clear refusals."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lightloom.runtime.banks import assembled_matrix, effective_matrices
from lightloom.runtime.errors import InputError, LightloomError
from lightloom.runtime.executor import Runner, run
from lightloom.runtime.pricing.counts import run_counts
from lightloom.runtime.program import InputSpec, StepCost
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.values import Ref, TensorType, Token

from .bankloop.toy import make_target
from .handmade import Layer, chain, conv, host, images, small

EIGHT_BITS = {"encoding": {"dac_bits": 8}, "detection": {"adc_bits": 8}}
NOISY = {"encoding": {"dac_bits": 6}, "detection": {"adc_bits": 8, "noise": True, "launch_power_w": 1e-6}}


def matrix(body, name):
    bank = body.banks[name]
    return assembled_matrix(bank, effective_matrices(bank, body.target, ideal=True))


def eager(body, x):
    weight = matrix(body, "m0").reshape(6, 2, 3, 2)
    padded = F.pad(x.double(), (2, 1, 1, 0))
    y = F.conv2d(padded, weight, body.constants["b0"].double(), (2, 1), 0, (1, 2), 2)
    return F.linear(y.relu().flatten(1), matrix(body, "m3")[0], body.constants["b3"].double())


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_ideal_run_equals_the_assembled_matrices(batch):
    body, x = small(), images(batch)
    torch.testing.assert_close(run(body, (x,), ideal=True, dtype=torch.float64), eager(body, x))
    torch.testing.assert_close(run(body, (x,), ideal=True), eager(body, x).float(), rtol=1e-4, atol=1e-4)


def test_a_chip_without_imperfections_equals_the_ideal_one():
    body, x = small(), images(3)
    out = run(body, (x,), dtype=torch.float64)
    torch.testing.assert_close(out, run(body, (x,), ideal=True, dtype=torch.float64), rtol=1e-7, atol=1e-7)


def test_converters_change_the_result_a_little():
    x = images(3)
    ideal = run(small(full_scale=4.0), (x,), ideal=True)
    out = run(small(make_target(8, encoding={"dac_bits": 10}, detection={"adc_bits": 12}), full_scale=4.0), (x,))
    error = (out - ideal).abs().max() / ideal.abs().max()
    assert 1e-5 < error < 2e-2


@pytest.mark.parametrize("parts", [EIGHT_BITS, NOISY])
def test_results_do_not_depend_on_batch_size_or_block_size(parts):
    body, x = small(make_target(8, mesh_={"phase_error_rad": 0.01, "splitter_error_rad": 0.01}, **parts)), images(5)
    whole = Runner(body).run((x,), seed=3)
    cut = Runner(body, block_bytes=1000)
    assert torch.equal(cut.run((x,), seed=3), whole)
    for count in (1, 2, 4):
        assert torch.equal(cut.run((x[:count],), seed=3), whole[:count])


def test_the_plain_engine_does_not_depend_on_the_batch_either():
    body, x = chain(make_target(8, **NOISY), ("s0", 12), [Layer(9, 12)]), torch.randn(5, 12)
    whole = Runner(body, "plain").run((x,), seed=3)
    assert torch.equal(Runner(body, "plain", block_bytes=100).run((x[:3],), seed=3), whole[:3])
    assert torch.equal(Runner(body, "fused").run((x,), seed=3), whole)


def test_seeds_matter_and_repeat():
    body, x = small(make_target(8, **NOISY)), images(2)
    runner = Runner(body)
    first = runner.run((x,), seed=1)
    assert torch.equal(first, runner.run((x,), seed=1))
    assert not torch.equal(first, runner.run((x,), seed=2))


def test_equal_samples_see_different_noise_at_different_places():
    body = small(make_target(8, **NOISY))
    x = images(1).expand(2, -1, -1, -1)
    out = run(body, (x,))
    assert not torch.equal(out[0], out[1])


def test_sequence_first_layers_keep_the_noise_of_each_sample():
    target = make_target(8, **NOISY)
    body = chain(target, (3, "s0", 5), [Layer(6, 5)])
    x = torch.randn(3, 4, 5)
    whole = run(body, (x,))
    assert whole.shape == (3, 4, 6)
    # the sample axis is the second one: it is found through the symbol of another input
    spec = InputSpec("other", TensorType("f32", ("s0",)))
    body = replace(body, inputs=(*body.inputs, spec))
    whole = run(body, (x, torch.zeros(4)))
    part = run(body, (x[:, :2].contiguous(), torch.zeros(2)))
    assert torch.equal(whole[:, :2], part)


def test_runner_keeps_tables_within_its_bounds():
    body, x = small(make_target(8, **EIGHT_BITS)), images(2)
    kept, forgetful = Runner(body), Runner(body, cache_bytes=0)
    assert torch.equal(kept.run((x,)), forgetful.run((x,)))
    assert len(kept._matrices._cache) == 2
    assert len(forgetful._matrices._cache) == 0


def test_counts_equal_those_of_the_schedule():
    body = small(make_target(8, **EIGHT_BITS))
    runner = Runner(body)
    runner.run((images(3),))
    assert runner.counts == run_counts(body, deal(body, 3))


@pytest.mark.parametrize("executor", ["batched", "step"])
def test_progress_names_every_step(executor):
    body = small()
    seen = []
    Runner(body).run((images(1),), executor=executor, progress=lambda *what: seen.append(what))
    assert seen == [(1, 4, "layer0"), (2, 4, "v1"), (3, 4, "v2"), (4, 4, "layer3")]


def test_values_are_dropped_after_their_last_reader():
    body, alive = small(), []

    def progress(done, total, path):
        alive.append(sorted(values._values))

    from lightloom.runtime import executor

    class Watched(executor.Values):
        def __init__(self, *args):
            nonlocal values
            super().__init__(*args)
            values = self

    values = None
    original, executor.Values = executor.Values, Watched
    try:
        Runner(body).run((images(1),), progress=progress)
    finally:
        executor.Values = original
    assert alive == [["v0"], ["v1"], ["v2"], ["v3"]]


def test_a_matrix_without_tiles_gives_its_bias():
    everything = tuple((0, r, c) for r in range(2) for c in range(2))
    body = chain(make_target(), ("s0", 8), [Layer(7, 8, skip=everything)])
    for kwargs in ({}, {"ideal": True}, {"executor": "step"}):
        out = run(body, (torch.randn(3, 8),), **kwargs)
        torch.testing.assert_close(out, body.constants["b0"].expand(3, 7))


def test_a_float64_run_is_float64_throughout():
    body = chain(make_target(), ("s0", 8), [Layer(7, 8)])
    cast = host("cast", "_to_copy.default", (Ref("v0"),), ("s0", 7), dtype=Token("torch.float32"))
    costs = {**body.costs, "cast": StepCost(0, 0, 7)}
    body = replace(body, steps=(*body.steps, cast), outputs=(Ref("cast"),), costs=costs)
    assert run(body, (torch.randn(2, 8),), ideal=True, dtype=torch.float64).dtype == torch.float64
    assert run(body, (torch.randn(2, 8, dtype=torch.float64),), ideal=True, dtype=torch.float64).dtype == torch.float64
    assert run(body, (torch.randn(2, 8),), ideal=True).dtype == torch.float32


def test_outputs_take_the_models_structure():
    body = small()
    body = replace(
        body,
        outputs=(Ref("v0"), Ref("v3"), 7),
        structure={
            "dict": [["a", {"list": [{"leaf": 1}, {"none": True}]}], ["b", {"tuple": [{"leaf": 0}, {"leaf": 2}]}]]
        },
    )
    out = run(body, (images(2),), ideal=True)
    assert out["a"][0].shape == (2, 10)
    assert out["a"][1] is None
    assert out["b"][0].shape == (2, 6, 3, 6)
    assert out["b"][1] == 7


def test_gradients_are_not_recorded():
    assert not run(small(), (images(1).requires_grad_(),), ideal=True).requires_grad


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), r"wrong number of inputs; got 0; allowed: 1: x torch.float32 of shape \(any \(s0\), 4, 7, 5\)"),
        ((torch.zeros(1, 4, 7, 5), torch.zeros(1)), r"wrong number of inputs; got 2"),
        (([1.0],), r"input is not a tensor \(at input 'x', position 0\); got list"),
        ((torch.zeros(4, 7, 5),), r"wrong shape \(at input 'x', position 0\); got shape \(4, 7, 5\)"),
        ((torch.zeros(1, 4, 7, 6),), r"wrong shape"),
        ((torch.zeros(1, 4, 7, 5, dtype=torch.float64),), r"wrong dtype .*got torch.float64; allowed: torch.float32"),
        ((torch.zeros(1, 4, 7, 5, dtype=torch.int64),), r"wrong dtype"),
        ((torch.full((2, 4, 7, 5), float("nan")),), r"NaN or infinity .*nan at index \(0, 0, 0, 0\)"),
        ((torch.full((2, 4, 7, 5), -float("inf")),), r"NaN or infinity .*-inf at index"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        run(small(), inputs)


def test_inputs_must_agree_on_their_batch():
    body = small()
    body = replace(body, inputs=(*body.inputs, InputSpec("y", TensorType("f32", ("s0", 2)))))
    with pytest.raises(InputError, match=r"disagree on a size .*'y', position 1.* s0 = 3; allowed: s0 = 2"):
        run(body, (images(2), torch.zeros(3, 2)))


@pytest.mark.parametrize("executor", ["batched", "step"])
@pytest.mark.parametrize("ideal", [True, False])
def test_values_that_blow_up_on_the_way_are_named_with_their_layer(executor, ideal):
    body = chain(make_target(), ("s0", 8), [Layer(7, 8), "log", Layer(3, 7)])
    with pytest.raises(InputError, match=r"NaN or infinite .*'v1'.*at layer2"):
        run(body, (torch.randn(2, 8),), ideal=ideal, executor=executor)


def test_a_failing_host_op_names_its_layer():
    body = small()
    bad = host("bad", "reshape.default", (Ref("v3"), (5, 5)), (5, 5), path="head.reshape")
    body = replace(body, steps=(*body.steps, bad), outputs=(Ref("bad"),))
    with pytest.raises(LightloomError, match=r"reshape\.default failed: .*at head\.reshape.*\(2, 10\)"):
        run(body, (images(2),))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"executor": "fast"}, "unknown executor; got 'fast'; allowed: batched or step"),
        ({"dtype": torch.float16}, "one of two dtypes"),
        ({"ideal": True, "observe": print}, "nothing to observe"),
    ],
)
def test_options_that_make_no_sense_are_refused(kwargs, message):
    with pytest.raises(InputError, match=message):
        run(small(), (images(1),), **kwargs)


def test_half_precision_models_keep_their_dtype():
    body = chain(make_target(), ("s0", 8), [Layer(7, 8)])
    step = replace(body.steps[0], type=TensorType("bf16", ("s0", 7)))
    body = replace(body, steps=(step,), inputs=(InputSpec("x", TensorType("bf16", ("s0", 8))),))
    out = run(body, (torch.randn(2, 8, dtype=torch.bfloat16),))
    assert out.dtype == torch.bfloat16


def test_unbatched_positions_count_as_vectors():
    body = chain(make_target(), ("s0", 2, 3, 8), [Layer(7, 8), conv(2, 2, (1, 1), padding=(0, 0, 0, 0))])
    out = run(body, (torch.randn(4, 2, 3, 8),), ideal=True)
    assert out.shape == (4, 2, 3, 7)

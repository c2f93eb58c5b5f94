"""Values, tokens, structures and the place of samples: the parts of a walk that no network shows alone."""

from dataclasses import replace

import pytest
import torch

from lightloom.runtime.errors import LightloomError, VerifyError
from lightloom.runtime.hostops import arguments
from lightloom.runtime.layout import leading_positions, samples_back, samples_first
from lightloom.runtime.program import InputSpec
from lightloom.runtime.trees import structured
from lightloom.runtime.values import Ref, TensorType, Token
from lightloom.runtime.walk import Values, reader_counts, reads

from .bankloop.toy import make_target
from .handmade import Layer, chain, host, small


def test_arguments_become_torch_objects():
    args, kwargs = arguments(
        (Ref("a"), (1, Ref("b"), (2,)), None, "mean"),
        (("dtype", Token("torch.int64")), ("memory_format", Token("contiguous_format")), ("device", Token("cuda:0"))),
        {"a": 7, "b": 8},
    )
    assert args == [7, [1, 8, [2]], None, "mean"]
    assert kwargs == {
        "dtype": torch.int64,
        "memory_format": torch.contiguous_format,
        "device": torch.device("cpu"),
    }


def test_the_float32_token_follows_the_run():
    args, _ = arguments((Token("float32"), Token("float16")), (), {}, widen=torch.float64)
    assert args == [torch.float64, torch.float16]


@pytest.mark.parametrize("text", ["load", "torch.load", "os.system", "__import__", "nn", "cuda; rm", ""])
def test_other_tokens_are_refused(text):
    with pytest.raises(LightloomError, match="unknown token"):
        arguments((Token(text),), (), {})


def test_reads_are_counted_once_each():
    body = small()
    step = host("twice", "add.Tensor", (Ref("v3"), Ref("v3")), ("s0", 10))
    body = replace(body, steps=(*body.steps, step), outputs=(Ref("twice"), Ref("v3")))
    assert reads(body.steps[0]) == ("x", "b0")
    assert reader_counts(body)["v3"] == 3


def test_reading_ahead_is_an_error():
    values = Values(small(), {}, torch.float32, torch.device("cpu"))
    with pytest.raises(VerifyError, match="read before it is computed; got v3"):
        values["v3"]


@pytest.mark.parametrize("structure", [{"leaf": 3}, {"leaf": -1}, {"set": []}, 5, {}])
def test_unknown_structures_are_refused(structure):
    with pytest.raises(VerifyError, match="unknown structure"):
        structured(structure, [1, 2])


def test_samples_move_first_and_back():
    x = torch.arange(24).reshape(3, 4, 2)  # three positions, four samples
    flat = samples_first(x.reshape(12, 2), 3, 4)
    assert torch.equal(flat.reshape(4, 3, 2), x.transpose(0, 1))
    assert torch.equal(samples_back(flat, 3, 4, (12, 2)), x.reshape(12, 2))


@pytest.mark.parametrize(
    ("shape", "before"),
    [(("s0", 3, 5), 1), ((3, "s0", 5), 3), ((2, 3, "s0", 4, 5), 6), ((3, 5), 1), (("3*s0", 5), 1)],
)
def test_the_sample_axis_is_found_by_its_symbol(shape, before):
    body = chain(make_target(), shape, [Layer(6, 5)])
    body = replace(body, inputs=(*body.inputs, InputSpec("other", TensorType("f32", ("s0",)))))
    assert leading_positions(body) == {"v0": before}


def test_the_sample_axis_is_found_behind_a_reshape():
    body = chain(make_target(), ("4*s0", 5), [Layer(6, 5)])
    spec = InputSpec("z", TensorType("f32", (4, "s0", 5)))
    flatten = host("x", "view.default", (Ref("z"), (-1, 5)), ("4*s0", 5))
    batch = InputSpec("other", TensorType("f32", ("s0",)))
    body = replace(body, inputs=(spec, batch), steps=(flatten, *body.steps))
    assert leading_positions(body) == {"v0": 4}

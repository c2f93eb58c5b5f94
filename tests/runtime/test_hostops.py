"""The allow-list: complete, functional, inference only, and helpful about what it refuses."""

import pytest
import torch

from lightloom.runtime import hostops
from lightloom.runtime.errors import LightloomError

ATEN = sorted(name for name in hostops.ALLOWED if name.count(".") == 1 and not name.startswith("py."))
"""All that torch itself dispatches; ops of other libraries (quantization) are functions of our own."""


def overload(op):
    name, kind = op.split(".")
    return getattr(getattr(torch.ops.aten, name), kind)


def test_every_entry_resolves_in_this_torch():
    for op in hostops.ALLOWED:
        assert callable(hostops.resolve(op)), op


def test_no_entry_writes_to_its_arguments():
    assert [op for op in ATEN if overload(op)._schema.is_mutable] == []


def test_random_entries_are_inert_without_their_training_flag():
    random = [op for op in ATEN if torch.Tag.nondeterministic_seeded in overload(op).tags]
    for op in random:
        flags = {argument.name for argument in overload(op)._schema.arguments}
        assert flags & {"train", "training", "dropout_p"}, op


def test_powers_of_sizes_are_small():
    power = hostops.resolve("py.pow")
    assert power(3, 4) == 81
    for base, exponent in ((10, 10**10), (10**30, 2), (2, -65)):
        with pytest.raises(ValueError, match="is no size"):
            power(base, exponent)


def test_no_entry_touches_files_or_prints():
    assert [op for op in ATEN if any(word in op for word in ("file", "print", "rand", "seed"))] == []


@pytest.mark.parametrize("op", ["relu_.default", "from_file.default", "randn.default", "add_.Tensor", "os.system"])
def test_other_ops_are_refused(op):
    with pytest.raises(LightloomError, match="allow-list"):
        hostops.resolve(op)


def test_refusal_names_close_ops():
    with pytest.raises(LightloomError, match=r"relu\.default"):
        hostops.resolve("relu_.default")
    with pytest.raises(LightloomError, match=r"softmax\.int"):
        hostops.resolve("softmax.float")


def test_training_behaviour_is_refused_and_inference_allowed():
    x = torch.randn(4, 3)
    dropout = hostops.resolve("dropout.default")
    assert torch.equal(dropout(x, 0.5, False), x)
    with pytest.raises(LightloomError, match="training"):
        dropout(x, 0.5, True)
    with pytest.raises(LightloomError, match="training"):
        dropout(x, 0.5, train=True)
    norm = hostops.resolve("batch_norm.default")
    mean, var = torch.zeros(3), torch.ones(3)
    norm(x, None, None, mean, var, False, 0.1, 1e-5, False)
    norm(x, None, None, None, None, True, 0.1, 1e-5, False)
    with pytest.raises(LightloomError, match="training"):
        norm(x, None, None, mean, var, True, 0.1, 1e-5, False)
    assert torch.equal(mean, torch.zeros(3))


def test_view_takes_any_strides():
    x = torch.arange(6).reshape(2, 3).t()
    assert torch.equal(hostops.resolve("view.default")(x, [6]), x.reshape(6))


def test_uninitialised_memory_is_zeroed():
    assert hostops.resolve("empty.memory_format")([3]).tolist() == [0, 0, 0]

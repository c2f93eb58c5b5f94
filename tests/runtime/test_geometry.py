"""Blocks of vectors equal the columns of F.unfold, cover each vector once, and keep their order."""

import pytest
import torch
from torch.nn import functional as F

from lightloom.runtime.errors import InputError
from lightloom.runtime.geometry import blocks, check_input, output_shape, patches, store, vector_count
from lightloom.runtime.program import Conv2dGeometry, LinearGeometry

CASES = [
    # channels, kernel, stride, padding, dilation, groups, height, width
    (3, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 7, 9),
    (4, (3, 2), (2, 3), (0, 1, 2, 3), (1, 1), 2, 11, 8),
    (6, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, 5, 5),
    (6, (1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 3, 5, 6),
    (4, (5, 3), (1, 2), (4, 0, 1, 1), (2, 3), 4, 9, 13),
    (2, (7, 7), (4, 4), (3, 2, 2, 3), (1, 1), 1, 9, 9),
    (1, (2, 2), (5, 5), (0, 0, 0, 0), (1, 1), 1, 2, 2),
]


def geometry(channels, kernel, stride, padding, dilation, groups):
    return Conv2dGeometry(channels, kernel, stride, padding, dilation, groups)


def unfolded(x, case):
    _, kernel, stride, (top, bottom, left, right), dilation, *_ = case
    return F.unfold(F.pad(x, (left, right, top, bottom)), kernel, dilation, 0, stride)


def flat(part):
    """(V, cols) of a block of patches."""
    return part.transpose(1, 2).flatten(0, 1)


@pytest.mark.parametrize("max_bytes", [1, 300, 3000, 1 << 24])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_patches_equal_unfold_in_order(case, batch, max_bytes):
    x = torch.randn(batch, case[0], case[6], case[7])
    geo = geometry(*case[:6])
    parts = list(blocks(x, geo, max_bytes))
    starts = [part.start for part in parts]
    lengths = [len(flat(part.vectors)) for part in parts]
    assert starts == [sum(lengths[:i]) for i in range(len(parts))]
    assert torch.equal(torch.cat([flat(part.vectors) for part in parts]), flat(unfolded(x, case)))
    assert sum(lengths) == vector_count(tuple(x.shape), geo)
    one = geo.channels * geo.kernel[0] * geo.kernel[1] * 4
    assert max(part.vectors.numel() * 4 for part in parts) <= max(max_bytes, one)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("max_bytes", [1, 2000, 1 << 24])
def test_blocks_and_store_make_a_convolution(case, max_bytes):
    channels, kernel, stride, (top, bottom, left, right), dilation, groups, height, width = case
    geo = geometry(*case[:6])
    x = torch.randn(2, channels, height, width, dtype=torch.float64)
    rows = 5
    weight = torch.randn(groups * rows, channels // groups, *kernel, dtype=torch.float64)
    matrix = weight.view(groups, rows, -1)
    output = x.new_zeros(output_shape(tuple(x.shape), geo, groups * rows))
    for part in blocks(x, geo, max_bytes):
        columns = part.vectors.unflatten(1, (groups, -1))
        store(output, part.start, torch.einsum("ngkl,grk->ngrl", columns, matrix).flatten(1, 2), geo)
    expected = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, None, stride, 0, dilation, groups)
    torch.testing.assert_close(output, expected)


def test_channels_last_input_gives_the_same_patches():
    case = CASES[1]
    x = torch.randn(2, 4, 11, 8)
    geo = geometry(*case[:6])
    last = x.contiguous(memory_format=torch.channels_last)
    (part,) = blocks(last, geo, 1 << 24)
    assert torch.equal(part.vectors, unfolded(x, case))


def test_patches_are_a_view_of_the_padded_input():
    x = torch.randn(2, 3, 8, 8)
    view = patches(x, Conv2dGeometry(3, (3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1))
    assert view.data_ptr() == x.data_ptr()
    assert view.shape == (2, 6, 6, 1, 3, 3, 3)


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 5, 7), (2, 3, 4, 7), (0, 7), (2, 0, 7)])
@pytest.mark.parametrize("max_bytes", [1, 100, 1 << 20])
def test_linear_of_any_rank(shape, max_bytes):
    x = torch.randn(shape, dtype=torch.float64)
    matrix = torch.randn(4, 7, dtype=torch.float64)
    geo = LinearGeometry()
    output = x.new_zeros(output_shape(shape, geo, 4))
    seen = 0
    for part in blocks(x, geo, max_bytes):
        assert part.start == seen
        seen += len(part.vectors)
        store(output, part.start, part.vectors @ matrix.t(), geo)
    assert seen == vector_count(shape, geo)
    torch.testing.assert_close(output, x @ matrix.t())


def test_empty_batch_has_no_blocks():
    geo = geometry(*CASES[0][:6])
    assert list(blocks(torch.empty(0, 3, 7, 9), geo, 1000)) == []
    assert output_shape((0, 3, 7, 9), geo, 4) == (0, 4, 7, 9)


@pytest.mark.parametrize(
    ("shape", "geo"),
    [
        ((2, 5), LinearGeometry()),
        ((), LinearGeometry()),
        ((2, 4, 8, 8), Conv2dGeometry(3, (3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1)),
        ((3, 8, 8), Conv2dGeometry(3, (3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1)),
        ((2, 3, 2, 8), Conv2dGeometry(3, (3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1)),
    ],
)
def test_inputs_that_do_not_fit_are_refused(shape, geo):
    with pytest.raises(InputError, match=r"does not fit .*at net\.fc"):
        check_input(shape, geo, 27, "net.fc")

"""The counter-based normals: the same everywhere, and normal."""

import numpy as np
import pytest
import torch
from numba import njit

from lightloom.runtime.optics import noise, noise_kernel


@njit
def _kernel_pairs(key, counters, first, rows):
    """The kernel's normals, (rows, counters) each."""
    k0, k1 = np.empty(len(counters), np.uint32), np.empty(len(counters), np.uint32)
    for i in range(len(counters)):
        mixed = noise_kernel.counter_key(key, counters[i])
        k0[i], k1[i] = np.uint32(mixed & np.uint64(0xFFFFFFFF)), np.uint32(mixed >> np.uint64(32))
    cosines = np.empty(rows * len(counters), np.float32)
    sines = np.empty(rows * len(counters), np.float32)
    noise_kernel.fill_normals(k0, k1, np.uint32(first), rows, cosines, sines)
    return cosines, sines


def pairs(seed: int, counters: torch.Tensor, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    k0, k1 = noise.counter_keys(noise.stream_key(seed, 3), counters)
    c, s = noise.normal_pairs(k0, k1, rows[:, None])
    return c.numpy(), s.numpy()


@pytest.mark.parametrize("seed", [0, 1, 2**63 + 17])
def test_kernel_equals_torch_bit_for_bit(seed):
    counters = torch.cat((torch.arange(9973), torch.tensor([2**40, 2**62 + 1])))
    expected = pairs(seed, counters, torch.arange(5, 9))
    key = np.uint64(noise.stream_key(seed, 3))
    found = _kernel_pairs(key, counters.numpy().astype(np.uint64), 5, 4)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.view(np.int32), two.reshape(-1).view(np.int32))


def test_kernel_does_not_depend_on_the_length():
    key, counters = np.uint64(12345), np.arange(100, dtype=np.uint64)
    whole = _kernel_pairs(key, counters, 0, 1)
    for length in (1, 7, 8, 33):
        part = _kernel_pairs(key, counters[:length], 0, 1)
        np.testing.assert_array_equal(part[0], whole[0][:length])
        np.testing.assert_array_equal(part[1], whole[1][:length])


def test_splitmix_is_the_published_one():
    # first outputs of the reference implementation seeded with 1234567
    state, seen = 1234567, []
    for _ in range(3):
        seen.append(noise.splitmix64(state))
        state = (state + 0x9E3779B97F4A7C15) & noise.MASK64
    assert seen == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_tensor_keys_equal_integer_keys():
    key = noise.stream_key(7, 1, 2)
    k0, k1 = noise.counter_keys(key, torch.tensor([0, 5, 2**50]))
    for i, counter in enumerate((0, 5, 2**50)):
        expected = noise.splitmix64((key + counter) & noise.MASK64)
        assert (int(k1[i]) << 32) | int(k0[i]) == expected


def test_polynomials_are_close_to_the_functions():
    x = torch.linspace(2**-25, 1, 100001)
    np.testing.assert_allclose(noise._log(x).numpy(), np.log(x.double().numpy()), rtol=3e-7, atol=3e-8)
    count = torch.arange(0, 2**24, 97)
    angle = count.double().numpy() * 2 * np.pi / 2**24
    cosine, sine = noise._cos_sin(count)
    np.testing.assert_allclose(cosine.numpy(), np.cos(angle), atol=2e-7)
    np.testing.assert_allclose(sine.numpy(), np.sin(angle), atol=2e-7)


def test_square_root_is_correctly_rounded():
    x = torch.rand(4097) * 30
    np.testing.assert_array_equal(noise.exact_sqrt(x).numpy(), np.sqrt(x.double().numpy()).astype(np.float32))


def test_moments():
    z = np.concatenate([p.astype(np.float64).ravel() for p in pairs(0, torch.arange(200_000), torch.arange(3))])
    count = z.size
    assert abs(z.mean()) < 4 / np.sqrt(count)
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * count)
    assert abs((z**3).mean()) < 4 * np.sqrt(15 / count)
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / count)
    # the tails are there, and no longer than 24 bits can make them
    assert 4.3 < np.abs(z).max() < 6


def test_quantiles():
    z = np.sort(pairs(5, torch.arange(200_000), torch.arange(1))[0].ravel().astype(np.float64))
    torch_cdf = torch.special.ndtr(torch.from_numpy(z)).numpy()
    empirical = (np.arange(z.size) + 0.5) / z.size
    assert np.abs(torch_cdf - empirical).max() < 1.95 / np.sqrt(z.size)  # Kolmogorov-Smirnov, p = 0.001


@pytest.mark.parametrize("lag", [1, 2, 7, 64])
def test_no_correlation_across_counters_rows_rails_and_streams(lag):
    c, s = (part.astype(np.float64) for part in pairs(0, torch.arange(50_000), torch.arange(70)[:: max(lag, 1)][:2]))
    limit = 4.5 / np.sqrt(50_000)
    assert abs((c[0, lag:] * c[0, :-lag]).mean()) < limit
    assert abs((c[0] * c[-1]).mean()) < limit or c.shape[0] == 1
    assert abs((c[0] * s[0]).mean()) < limit
    assert abs((c[0] ** 2 * s[0] ** 2).mean() - 1) < 3 * limit
    other = pairs(lag, torch.arange(50_000), torch.arange(1))[0].astype(np.float64)
    assert abs((c[0] * other[0]).mean()) < limit


def test_streams_differ_by_every_part_of_their_path():
    keys = {noise.stream_key(0), noise.stream_key(1), noise.stream_key(0, 0), noise.stream_key(0, 1)}
    assert len(keys | {noise.stream_key(0, 0, 1), noise.stream_key(0, 1, 0), noise.stream_key(1, 0)}) == 7

"""Random damage: every load either raises a LightloomError or returns the very same program."""

from __future__ import annotations

import random

import pytest

from lightloom.runtime import artefact
from lightloom.runtime.errors import LightloomError


@pytest.fixture(scope="module")
def good(body, tmp_path_factory) -> bytes:
    place = tmp_path_factory.mktemp("fuzz") / "good.loom"
    artefact.save(body, place)
    return place.read_bytes()


@pytest.fixture
def survives(body, same, tmp_path):
    """Load damaged bytes; returns whether they were refused."""

    def load(data: bytes) -> bool:
        place = tmp_path / "bad.loom"
        place.write_bytes(data)
        try:
            loaded = artefact.load(place)
        except LightloomError:
            return True
        same(loaded, body)
        return False

    return load


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_bit_flips(good, survives, seed):
    generator = random.Random(seed)
    refused = sum(survives(flip(good, generator.randrange(len(good) * 8))) for _ in range(150))
    assert refused > 120  # only padding, timestamps and unused zip fields are free to change


def test_every_bit_of_the_zip_records(good, survives):
    """Local headers, directory and end record: the parts that a checksum does not cover."""
    directory = good.index(b"PK\1\2")
    manifest = good.index(b"PK\3\4", 4)
    spots = [*range(64), *range(manifest, manifest + 43), *range(directory, len(good))]
    generator = random.Random(0)
    for byte in spots:
        survives(flip(good, byte * 8 + generator.randrange(8)))
    assert survives(flip(good, directory * 8))


def test_truncations(good, survives):
    generator = random.Random(1)
    lengths = [0, 1, 21, 22, 64, len(good) - 1, *(generator.randrange(len(good)) for _ in range(150))]
    assert all(survives(good[:length]) for length in lengths)


def test_bytes_put_in_taken_out_and_overwritten(good, survives):
    generator = random.Random(2)
    for _ in range(150):
        at, length = generator.randrange(len(good)), generator.randrange(1, 200)
        noise = generator.randbytes(length)
        assert survives(good[:at] + noise + good[at:])
        assert survives(good[:at] + good[at + length :])
        survives(good[:at] + noise + good[at + length :])
        survives(good[:at] + b"\0" * length + good[at + length :])


@pytest.mark.slow
def test_every_byte_of_a_file(good, survives):
    """A random bit of each byte."""
    generator = random.Random(3)
    refused = sum(survives(flip(good, byte * 8 + generator.randrange(8))) for byte in range(len(good)))
    assert refused > len(good) * 0.9

"""What loads runs or refuses: files whose manifest was changed at random, used in every way a user would."""

from __future__ import annotations

import copy
import json
import random
import signal
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lightloom as ll

NUMBERS: list[Any] = [0, -1, 1, 2, 3, 0.5, 2**31 - 1, 2**31, 2**40, 2**62 - 1, 2**63, 5e-324, 1e-300, 1e300, 1e308]
NUMBERS += [-1e300, {"$float": "nan"}, {"$float": "inf"}]
TEXTS = [
    "",
    "x",
    "s0",
    "2*",
    "s0*2",
    "(((",
    "s0//0",
    "\n",
    "a" * 600,
    "NaN",
    "s0 s1",
    "__import__('os')",
    "lambda",
    "é",
]
TIME_S = 20


class Network(nn.Module):
    """Steps of every kind but products: a convolution, a loop, a layer, host ops, a dict of outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.loop, self.out = nn.Conv2d(1, 2, 3), nn.GRU(6, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        h = self.out(self.loop(self.conv(x).mean(1))[0])
        return {"y": torch.softmax(h @ h.mT + mask, -1) @ h}


INPUTS = (torch.randn(2, 1, 7, 8, generator=torch.Generator().manual_seed(1)), torch.zeros(2, 5, 5))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    place = tmp_path_factory.mktemp("mutated") / "whole.loom"
    ll.compile(Network().eval(), INPUTS, target="mzi16").save(place)
    with zipfile.ZipFile(place) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        if path or key not in ("ir", "tensors"):
            yield (*path, key), value
            yield from _places(value, (*path, key))


def _mutated(manifest: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The manifest with one or two of its values replaced, lengthened, shortened or swapped."""
    places = list(_places(manifest))
    changed = copy.deepcopy(manifest)
    for _ in range(draw.choice([1, 1, 1, 2])):
        path, value = draw.choice(places)
        home: Any = changed
        try:
            for key in path[:-1]:
                home = home[key]
            home[path[-1]] = _other(value, places, draw)
        except (KeyError, IndexError, TypeError):
            continue  # the first change took the second one's place away
    return changed


def _other(value: Any, places: list[tuple[tuple[Any, ...], Any]], draw: random.Random) -> Any:
    if draw.random() < 0.05:
        return draw.choice([None, [], {}, "x", 0])
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return draw.choice([*NUMBERS, value + 1, value * 2, -value])
    if isinstance(value, str):
        return draw.choice([*TEXTS, draw.choice([other for _, other in places if isinstance(other, str)])])
    if isinstance(value, list):
        return draw.choice([[], value[:-1], value + value[-1:], value[::-1]])
    if isinstance(value, dict):
        return draw.choice([{}, None, [], dict(list(value.items())[:-1])])
    return draw.choice([*NUMBERS[:6], "x", {}, []])


def _use(program: ll.Program, folder: Path) -> Iterator[object]:
    """Everything that one does with a program, each in turn."""
    yield lambda: program.run(*INPUTS, ideal=True)
    yield lambda: program.run(*INPUTS)
    yield lambda: program.run(*INPUTS, executor="step")
    yield lambda: program.schedule
    yield program.report
    yield lambda: (str(program.explain()), str(program.area), program.dump(), repr(program))
    yield program.tile_energies
    yield program._repr_html_
    yield lambda: program.save(folder / "again.loom")


def _late(*_: object) -> None:
    raise TimeoutError(f"more than {TIME_S} s")


def _attack(members: dict[str, bytes], seeds: range, folder: Path) -> int:
    """Load and use mutated files; returns how many loaded. Anything but a LightloomError gets out."""
    manifest, loaded = json.loads(members["manifest.json"]), 0
    for seed in seeds:
        text = json.dumps(_mutated(manifest, random.Random(seed))).encode()
        with zipfile.ZipFile(folder / "mutated.loom", "w", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                archive.writestr(name, text if name == "manifest.json" else data)
        try:
            program = ll.load(folder / "mutated.loom")
        except ll.LightloomError:
            continue
        loaded += 1
        for act in _use(program, folder):
            signal.alarm(TIME_S)  # a hang is a fault, too
            try:
                act()  # type: ignore[operator]
            except ll.LightloomError:
                pass
            except Exception as error:
                raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
            finally:
                signal.alarm(0)
    return loaded


@pytest.mark.parametrize("first", [0, pytest.param(1000, marks=pytest.mark.slow)])
def test_what_loads_runs_or_refuses(members: dict[str, bytes], first: int, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGALRM, _late)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            count = 1500 if first else 60
            assert _attack(members, range(first, first + count), tmp_path) > count // 8
    finally:
        signal.signal(signal.SIGALRM, before)

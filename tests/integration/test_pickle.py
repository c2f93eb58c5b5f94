"""Programs travel to other processes and are copied, also after a run."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

import lightloom as ll
from lightloom.models import DigitsCNN


def test_a_program_is_pickled_and_copied_after_any_run(tmp_path: Path) -> None:
    x = torch.randn(2, 1, 8, 8)
    program = ll.compile(DigitsCNN().eval(), x, target="mzi16")
    fresh = program.run(x, seed=5)
    program.run(x, executor="step")
    assert program.schedule.makespan_s > 0
    assert program.energy is not None
    program.save(tmp_path / "digits.loom")
    loaded = ll.load(tmp_path / "digits.loom")
    for held in (program, loaded):
        for other in (pickle.loads(pickle.dumps(held)), copy.deepcopy(held), copy.copy(held)):
            assert torch.equal(other.run(x, seed=5), fresh)
            assert other.schedule.makespan_s == program.schedule.makespan_s
            assert dict(other.pass_s) == dict(held.pass_s)


def test_a_process_pool_runs_programs() -> None:
    x = torch.randn(2, 8)
    program = ll.compile(torch.nn.Linear(8, 4), x, target="mzi16")
    wanted = program.run(x, seed=5)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert torch.equal(pool.submit(program.run, x, seed=5).result(), wanted)

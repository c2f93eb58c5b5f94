"""Score networks whose trained weights come inside packages on their own task: digital, ideal, on chips of few bits.

    python benchmarks/trained.py [--tasks NAMES] [--targets NAMES] [--bits 8 6 4] [--seeds 3] [--page docs/trained.md]

Files of this machine for magika, speech of espeak-ng for silero-vad. Prints a table as Markdown; ``--page`` writes it
between the marks of the page.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import warnings
import wave
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from statistics import mean, pstdev

import numpy as np
import torch
from options import Options

import lightloom as ll

PAGE = re.compile(r"(<!-- begin trained -->\n).*(<!-- end trained -->)", re.DOTALL)
Run = Callable[..., tuple[np.ndarray, ...]]
"""Arrays by the names of the model's inputs: its outputs."""


@dataclass(frozen=True)
class Task:
    """A published network and what it is for.

    ``of``: what is scored, in words; ``file``: the ONNX file; ``example``: inputs to compile with; ``answer``: runs the
    task and returns its score in 0..1 and all outputs, for comparison.
    """

    name: str
    of: str
    file: Path
    example: dict[str, np.ndarray]
    answer: Callable[[Run], tuple[float, np.ndarray]]


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise SystemExit(f"{name} is not installed: pip install --no-deps {name.replace('_', '-')}")
    return Path(found.origin).parent


KINDS = {
    ".py": "python",
    ".json": "json",
    ".c": "c",
    ".h": "c",
    ".so": "elf",
    ".html": "html",
    ".css": "css",
    ".js": "javascript",
}
"""File endings whose kind magika names as we do."""


def magika(count: int = 8) -> Task:
    """File types of this machine's Python installation: up to ``count`` files of each kind, of 1 kB or more."""
    folder = next((_package("magika") / "models").glob("standard_*"))
    labels = json.loads((folder / "config.min.json").read_text(encoding="utf-8"))["target_labels_space"]
    roots = [Path(sysconfig.get_paths()[name]) for name in ("include", "purelib", "stdlib")]
    chosen: list[tuple[Path, str]] = []
    for ending, kind in KINDS.items():
        files = sorted({path for root in roots for path in root.rglob(f"*{ending}") if path.stat().st_size >= 1024})
        chosen += [(path, kind) for path in files[:: max(1, len(files) // count)][:count]]
    features = np.stack([_ends(path.read_bytes()) for path, _ in chosen])

    def answer(run: Run) -> tuple[float, np.ndarray]:
        (scores,) = run(bytes=features)
        right = [labels[at] == kind for at, (_, kind) in zip(scores.argmax(1), chosen, strict=True)]
        return float(np.mean(right)), scores

    return Task("magika", f"kind of {len(chosen)} files", folder / "model.onnx", {"bytes": features[:2]}, answer)


def _ends(data: bytes, size: int = 1024, block: int = 4096, padding: int = 256) -> np.ndarray:
    """What magika looks at: the first and last bytes that are no blanks."""
    head = list(data[:block].lstrip()[:size])
    tail = list(data[-block:].rstrip()[-size:])
    row = head + [padding] * (size - len(head)) + [padding] * (size - len(tail)) + tail
    return np.array(row, np.int32)


SENTENCES = ("light travels through a mesh of interferometers", "the quick brown fox jumps over the lazy dog")


def silero(window: int = 512, context: int = 64, rate: int = 16000) -> Task:
    """Voice in speech of espeak-ng between pauses of faint noise: right windows, by the power of the clean speech."""
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng is not installed: install it with the system's package manager")
    draw, clips = np.random.default_rng(0), []
    for text in SENTENCES:
        pause = np.zeros(rate, np.float32)
        clips.append(np.concatenate([pause, _spoken(text, rate), pause]))
    length = min(map(len, clips)) // window * window
    clean = np.stack([clip[:length] for clip in clips])
    noisy = clean + 0.003 * draw.standard_normal(clean.shape).astype(np.float32)
    power = (clean.reshape(len(clips), -1, window) ** 2).mean(2)
    sure = (power > 1e-3) | (power == 0)  # what fades in and out is neither
    file = _package("silero_vad") / "data/silero_vad_16k_op15.onnx"

    def answer(run: Run) -> tuple[float, np.ndarray]:
        state, before = np.zeros((2, len(clips), 128), np.float32), np.zeros((len(clips), context), np.float32)
        found = []
        for at in range(0, length, window):
            part = np.concatenate([before, noisy[:, at : at + window]], 1)
            p, state = run(input=part, state=state, sr=np.array(rate))
            before = part[:, -context:]
            found.append(p[:, 0])
        p = np.stack(found, 1)
        return float(((p > 0.5) == (power > 1e-3))[sure].mean()), p

    example = {"input": np.zeros((2, window + context), np.float32), "state": np.zeros((2, 2, 128), np.float32)}
    return Task("silero-vad", f"voice in {int(sure.sum())} windows", file, {**example, "sr": np.array(rate)}, answer)


def _spoken(text: str, rate: int) -> np.ndarray:
    """A sentence in the voice of espeak-ng, float32 in -1..1, at ``rate`` samples a second."""
    made = subprocess.run(["espeak-ng", "--stdout", text], capture_output=True, check=True).stdout
    with wave.open(BytesIO(made)) as sound:
        own = sound.getframerate()
        data = sound.readframes(2**30)
    samples = np.frombuffer(data[: len(data) // 2 * 2], np.int16).astype(np.float32) / 32768
    places = np.arange(int(len(samples) * rate / own)) * own / rate
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


TASKS = {"magika": magika, "silero-vad": silero}


def digital(task: Task) -> Run:
    """The network in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(task.file), providers=["CPUExecutionProvider"])
    known = {item.name for item in session.get_inputs()}
    return lambda **given: tuple(session.run(None, {name: value for name, value in given.items() if name in known}))


def photonic(program: ll.Program, **options: object) -> Run:
    """The network as a program."""

    def run(**given: np.ndarray) -> tuple[np.ndarray, ...]:
        named = {p.name: torch.from_numpy(np.asarray(given[p.name])) for p in program.body.parameters}
        result = program.run(named, **options)  # type: ignore[arg-type]
        return tuple(part.numpy() for part in (result if isinstance(result, tuple) else (result,)))

    return run


def measured(task: Task, targets: list[str], bits: list[int], seeds: int) -> list[list[str]]:
    """A row for digital, the ideal chip, and every target as it is and at so many bits for phases, DACs and ADCs."""
    score, wanted = task.answer(digital(task))
    rows = [[task.name, task.of, "onnxruntime", f"{score:.1%}", ""]]
    example = {name: torch.from_numpy(value) for name, value in task.example.items()}
    for number, target in enumerate(targets):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = ll.compile(str(task.file), example, target=target)
        if number == 0:
            score, got = task.answer(photonic(program, ideal=True))
            error = float(np.abs(got - wanted).max() / np.abs(wanted).max())
            rows.append([task.name, task.of, "ideal chip", f"{score:.1%}", f"{error:.1e}"])
        for width in (0, *bits):
            fields = ("mesh.phase_bits", "mesh.attenuator_bits", "encoding.dac_bits", "detection.adc_bits")
            chip = program.what_if(dict.fromkeys(fields, width)) if width else program
            found = [task.answer(photonic(chip, seed=seed))[0] for seed in range(seeds)]
            spread = f" ± {pstdev(found):.1%}" if seeds > 1 else ""
            name = f"{target}, {width} bits" if width else f"{target} as it is"
            rows.append([task.name, task.of, name, f"{mean(found):.1%}{spread}", ""])
            print(" | ".join(rows[-1]), file=sys.stderr)
    return rows


def main() -> None:
    parser = Options(__doc__, "onnxruntime", magika="for the task magika", silero_vad="for the task silero-vad")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--targets", nargs="+", default=["mzi64", "mzi16"], help="presets or TOML files")
    parser.add_argument("--bits", nargs="*", type=int, default=[8, 6, 4], help="of phases, attenuators, DACs and ADCs")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each chip")
    parser.add_argument("--page", type=Path, help="a page to write the table into")
    given = parser.parse_args()
    rows = [row for name in given.tasks for row in measured(TASKS[name](), given.targets, given.bits, given.seeds)]
    head = ["network", "task", "on", "right", "error of an output"]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * 5, *rows]) + "\n"
    print(table)
    if given.page is not None:
        text = given.page.read_text(encoding="utf-8")
        given.page.write_text(PAGE.sub(lambda found: found.group(1) + table + found.group(2), text), encoding="utf-8")


if __name__ == "__main__":
    main()

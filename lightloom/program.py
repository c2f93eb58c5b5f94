"""A compiled program as its user holds it: run it, explain it, price it, save it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from .compiler.passes.schedule import schedule as build_schedule
from .compiler.tiling import tile_weights
from .runtime.artefact import load as load_body
from .runtime.artefact import save as save_body
from .runtime.device import PhotonicDevice
from .runtime.errors import InputError, LightloomError, complaint
from .runtime.executor import Progress, Runner
from .runtime.files import check_writable, write_text
from .runtime.inputs import arrange
from .runtime.pricing.area import AreaReport, area
from .runtime.pricing.energy import EnergyReport, energy
from .runtime.pricing.tile_energies import tile_energies
from .runtime.program import MatrixStep, ProductStep, ProgramBody, RecurrentStep
from .runtime.report.explain import Explanation, explain
from .runtime.report.text import report
from .runtime.scheduling.plan import Dataflow, Objective, Plan
from .runtime.scheduling.schedule import Schedule
from .runtime.targets import Target
from .whatif import changed_body

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np

STAGES = ("nn", "mvm", "tile", "program")


class Program:
    """A model compiled for a chip.

    Call it with the model's inputs to run it on the simulator as the target describes it; :meth:`run` takes a
    seed, an ideal chip, or the step executor. A program is never changed; it may be used from several threads
    one run at a time.
    """

    def __init__(self, body: ProgramBody, pass_s: Mapping[str, float] | None = None) -> None:
        self.body = body
        self.pass_s: Mapping[str, float] = dict(pass_s or {})
        """Seconds that each compiler pass took; empty for a loaded program."""
        self._runner = Runner(body, tiler=tile_weights)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as what was compiled; what runs keep is made anew."""
        return type(self), (self.body, self.pass_s)

    def __call__(self, /, *inputs: Any, **named: Any) -> Any:
        """Run on the simulated chip with seed 0. See :meth:`run`."""
        return self._runner.run(arrange(self.body, inputs, named))

    def run(
        self,
        /,
        *inputs: Any,
        seed: int = 0,
        ideal: bool = False,
        executor: str = "batched",
        dtype: torch.dtype = torch.float32,
        progress: Progress | None = None,
        device: PhotonicDevice | None = None,
        warm: bool = False,
        **named: Any,
    ) -> Any:
        """Run the program.

        Args:
            inputs: One tensor per input of the model, in tuples, lists or dicts where the model takes these; any
                batch size, 0 included.
            seed: Seed of the noise. Sample *i* sees the same noise whatever the batch size.
            ideal: Switch every imperfection off: equals the eager model within rounding.
            executor: ``batched`` (whole banks at once) or ``step`` (event by event, as hardware does).
            dtype: float32, or float64 for integer codes that no rounding can move.
            progress: Called after each step with (done, total, layer path).
            device: The chip that the step executor drives; the simulator by default.
            warm: Let the step executor find the tiles on the cores that the run before left there, as sessions do.
            named: Inputs by name, as the model's parameters are called.

        Returns:
            What the model returns.

        Raises:
            InputError: Wrong number, shape, dtype or values of inputs.
        """
        tensors = arrange(self.body, inputs, named)
        return self._runner.run(
            tensors,
            seed=seed,
            ideal=ideal,
            executor=executor,
            dtype=dtype,
            progress=progress,
            device=device,
            warm=warm,
        )

    @property
    def target(self) -> Target:
        """The chip that the program is compiled for."""
        return self.body.target

    def explain(self) -> Explanation:
        """Every op: where it runs, why, its share of the MACs; every layer's tiles and utilisation."""
        return explain(self.body)

    @cached_property
    def schedule(self) -> Schedule:
        """Who runs where and when, for a batch of the example's size."""
        return self.schedule_for(self.body.example_batch)

    def schedule_for(
        self,
        batch: int,
        dataflow: Dataflow | Literal["auto"] | None = None,
        objective: Objective | None = None,
        warm: bool = False,
    ) -> Schedule:
        """The schedule of one run with this many samples.

        Args:
            batch: Samples of the run; a multiple of ``body.example_batch`` where the model fixes the batch.
            dataflow: ``weight``, ``output`` or ``input`` for every layer, or ``auto``; as compiled, if not given.
            objective: ``latency``, ``energy`` or ``edp``, what ``auto`` goes by; as compiled, if not given.
            warm: The run after one like it, which finds tiles on the cores.

        Raises:
            InputError: A batch below 1 or one that the program cannot run, an unknown dataflow or objective.
            TargetError: A dataflow that the chip's memories are too small for.
        """
        own, each = self.body.plan, self.body.example_batch
        if self.body.batch_is_fixed and each > 1 and type(batch) is int and batch % each:
            allowed = f"{each}, or so many runs of it: a multiple of {each}"
            raise InputError(complaint("the batch of this program is fixed", got=batch, allowed=allowed))
        plan = Plan(own.dataflow if dataflow is None else dataflow, own.objective if objective is None else objective)
        return build_schedule(self.body, batch, plan, warm)

    def what_if(
        self,
        changes: Mapping[str, Any] | Target,
        dataflow: Dataflow | Literal["auto"] | None = None,
        objective: Objective | None = None,
    ) -> Program:
        """The program on a changed chip, or scheduled in another way, at once: see :func:`.whatif.changed_body`."""
        return Program(changed_body(self.body, changes, dataflow, objective))

    @cached_property
    def energy(self) -> EnergyReport:
        """What the schedule costs, by part, layer and event."""
        return energy(self.body, self.schedule)

    @property
    def area(self) -> AreaReport:
        """What the chip covers, by part, where the target states footprints; operations a second and a watt for it."""
        return area(self.target)

    def tile_energies(self) -> dict[str, np.ndarray]:
        """Joules of every tile of the schedule, by bank: float64 (tiles,); of dynamic banks, all samples together."""
        return tile_energies(self.body, self.schedule)

    def report(self) -> str:
        """Latency, energy by part and layer, energy per MAC, and the assumptions behind them, as text."""
        return report(self.body, self.schedule, self.energy)

    def to_html(self, path: str | Path, batch: int | None = None) -> None:
        """Write a page with everything about the program: layers, energy, timeline, tiles, settings, sources.

        Args:
            path: The file; it needs no other file and no network.
            batch: Samples of the run that is shown; the example's batch by default.

        Raises:
            InputError: the file cannot be written.
            LightloomError: jinja2 is missing (extra ``demo``).
        """
        from .runtime.report.program_page import program_page

        place = check_writable(path)
        schedule = self.schedule if batch is None else self.schedule_for(batch)
        write_text(place, program_page(self.body, schedule, energy(self.body, schedule)))

    def export_figures(
        self, folder: str | Path, batch: int | None = None, formats: Sequence[str] = ("svg", "png")
    ) -> tuple[Path, ...]:
        """Write the figures of the report as files: schedule, time and energy by layer, item and event, tiles.

        Args:
            folder: Made where it is not there.
            batch: Samples of the run that is shown; the example's batch by default.
            formats: ``svg``, ``png`` and ``pdf``.

        Returns:
            The files.

        Raises:
            InputError: an unknown format, or a file that cannot be written.
            LightloomError: matplotlib is missing (extra ``demo``).
        """
        from .runtime.report.export import export_figures

        schedule = self.schedule if batch is None else self.schedule_for(batch)
        return export_figures(self.body, schedule, energy(self.body, schedule), folder, formats)

    def _repr_html_(self) -> str:
        """Headline figures, energy by layer and the layers, for notebooks."""
        from .runtime.report.notebook import notebook_html

        return notebook_html(self.body, self.schedule, self.energy)

    def graph(self, level: Literal["bank", "step", "tile"] = "bank") -> nx.DiGraph[str]:
        """The dependency graph of banks, steps or tiles, with times and energy on its nodes."""
        from .compiler.passes.schedule import dependency_graph

        return dependency_graph(self.body, self.schedule, self.energy, level)

    def dump(self, stage: str = "program") -> str:
        """IR text of a stage: ``nn``, ``mvm``, ``tile`` or ``program``.

        Raises:
            LightloomError: an unknown stage.
        """
        if stage == "program":
            return _show_steps(self.body)
        if stage not in self.body.ir:
            raise LightloomError(complaint("no IR of that stage", got=repr(stage), allowed=", ".join(STAGES)))
        return self.body.ir[stage]

    def save(self, path: str | Path) -> None:
        """Write the program to a ``.loom`` file; on failure no file is left behind.

        Raises:
            ArtefactError: the file cannot be written.
        """
        save_body(self.body, path)

    def __repr__(self) -> str:
        banks = self.body.banks.values()
        tiles = sum(bank.spec.tiles for bank in banks)
        matrices = "1 matrix" if len(banks) == 1 else f"{len(banks)} matrices"
        size = f"{matrices}, {tiles} tile{'s' * (tiles != 1)}"
        return f"Program({self.body.name!r} on {self.target.name!r}: {size})"


def load(path: str | Path) -> Program:
    """Read a program from a ``.loom`` file. No code in the file is run.

    Raises:
        ArtefactError: the file is damaged, hostile or of another version.
    """
    return Program(load_body(path))


def _show_steps(body: ProgramBody) -> str:
    """The program's steps as text, one a line."""
    from .compiler.ir.text import quote, show_arg, show_name, show_type

    lines = [f"program {quote(body.name)} for {quote(body.target.name)} {{"]
    lines += [f"  input {show_name(spec.name)}: {show_type(spec.type)}" for spec in body.inputs]
    for step in body.steps:
        head = f"  {show_name(step.name)}: {show_type(step.type)} ="
        if isinstance(step, RecurrentStep):
            tiles = sum(body.banks[name].spec.tiles for name in step.banks)
            banks = " then ".join(show_name(name, "@") for name in step.banks)
            values = ", ".join(map(show_name, (step.input, *step.states)))
            direction = "backwards in time" if step.reverse else "in time"
            lines.append(f"{head} {step.kind} loop {direction} over bank {banks} from {values} ({tiles} tiles)")
        elif isinstance(step, ProductStep):
            spec = body.banks[step.bank].spec
            tiles = f"{spec.tiles} tiles of {spec.ports} ports programmed for every sample"
            bank = show_name(step.bank, "@")
            lines.append(f"{head} {show_name(step.left)} * {show_name(step.right)} on bank {bank} ({tiles})")
        elif isinstance(step, MatrixStep):
            bias = f" + {show_name(step.bias)}" if step.bias else ""
            spec = body.banks[step.bank].spec
            tiles = f"{spec.tiles} tiles of {spec.ports} ports, {body.costs[step.name].vectors} vectors a sample"
            lines.append(f"{head} bank {show_name(step.bank, '@')} * {show_name(step.input)}{bias} ({tiles})")
        else:
            args = [show_arg(arg) for arg in step.args]
            args += [f"{key}={show_arg(value)}" for key, value in step.kwargs]
            lines.append(f"{head} host {step.op}({', '.join(args)})")
    lines += [f"  return {', '.join(map(show_arg, body.outputs))}", "}"]
    return "\n".join(lines) + "\n"

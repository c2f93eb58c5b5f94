"""Bayesian exploration: Optuna proposes the next points from what the finished ones showed."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, wait
from typing import TYPE_CHECKING, Any

from ..runtime.installed import missing
from .journal import Journal
from .points import Point
from .recording import Progress, record
from .spec import MAXIMISED, Range, SweepSpec
from .workers import Workers

if TYPE_CHECKING:
    import optuna


def explore(spec: SweepSpec, journal: Journal, at: Workers, jobs: int, progress: Progress | None) -> list[Point]:
    """Evaluate ``spec.points`` points, the journal's included.

    The study learns from all that have the objectives and keep to the limits; it seeks near these.

    Raises:
        LightloomError: optuna is not installed, or a worker was lost.
    """
    optuna = _optuna()
    space = {**spec.fields, **spec.options}
    distributions = {name: _distribution(optuna, values) for name, values in space.items()}
    directions = ["maximize" if name in MAXIMISED else "minimize" for name in spec.objectives]
    done: dict[str, Point] = {}
    for entry in journal.entries.values():
        point = Point(entry["fields"], entry["options"])
        done[point.key] = point
    study = optuna.create_study(directions=directions, sampler=optuna.samplers.TPESampler(seed=spec.seed + len(done)))
    for key, point in done.items():
        entry = journal.entries[key]
        if spec.counts(entry["metrics"]):
            params = {name: _coded(space[name], value) for name, value in point.values.items()}
            values = [entry["metrics"][name] for name in spec.objectives]
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, values=values))
    if progress is not None:
        progress(len(done), spec.points)
    running: dict[Any, tuple[Any, Point]] = {}
    tries = 0
    while len(done) < spec.points:
        while len(running) < min(jobs, spec.points - len(done)) and tries < 50 * spec.points:
            tries += 1
            trial = study.ask(distributions)
            point = _point(spec, trial.params)
            if point.key in done or any(point.key == other.key for _, other in running.values()):
                _tell_again(study, trial, journal, point, spec)
                continue
            running[at.submit(spec, [point])] = (trial, point)
        if not running:
            break  # a small space is exhausted
        ready, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ready:
            trial, point = running.pop(future)
            (result,) = at.results(future)
            record(journal, point, result)
            done[point.key] = point
            if not spec.counts(result.metrics):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, [result.metrics[name] for name in spec.objectives])
            if progress is not None:
                progress(len(done), spec.points)
    return list(done.values())


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise missing("method = 'bayes'", "optuna", "sweep") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: Any, values: tuple[Any, ...] | Range) -> optuna.distributions.BaseDistribution:
    if not isinstance(values, Range):
        return optuna.distributions.CategoricalDistribution(range(len(values)))
    if values.integer:
        return optuna.distributions.IntDistribution(round(values.low), round(values.high), log=values.log)
    return optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)


def _coded(values: tuple[Any, ...] | Range, value: Any) -> Any:
    """A value as the study knows it: choices by their place."""
    return value if isinstance(values, Range) else list(values).index(value)


def _point(spec: SweepSpec, params: dict[str, Any]) -> Point:
    def value(name: str, values: tuple[Any, ...] | Range) -> Any:
        return params[name] if isinstance(values, Range) else values[params[name]]

    return Point(
        {name: value(name, values) for name, values in spec.fields.items()},
        {name: value(name, values) for name, values in spec.options.items()},
    )


def _tell_again(study: Any, trial: Any, journal: Journal, point: Point, spec: SweepSpec) -> None:
    """A point that is known already costs nothing: its values are told once more."""
    entry = journal.entries.get(point.key)
    if entry is None or not spec.counts(entry["metrics"]):
        from optuna.trial import TrialState

        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, [entry["metrics"][name] for name in spec.objectives])

"""What the parts of a target are made of: a checked, immutable model, and the kinds of numbers it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import InputError, TargetError, complaint
from ..seeds import seed_of
from .faults import from_pydantic, target_error

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Bytes = Annotated[int, Field(ge=1, lt=2**62)]
Bits = Annotated[int, Field(ge=1, le=24)] | None
"""Resolution in bits; None is a continuous, unquantized quantity."""


def _seed(value: object) -> int:
    try:
        return seed_of(value)
    except InputError as error:
        raise ValueError(str(error)) from error


Seed = Annotated[int, BeforeValidator(_seed)]


class _Checked(ModelMetaclass):
    """Building a part with impossible numbers raises TargetError, as everything else here does."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            raise target_error(cls.__name__, from_pydantic(error)) from error


class Part(BaseModel, metaclass=_Checked):
    """Base of the parts of a target: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # a type checker knows the frozen model's fields

        def __setattr__(self, name: str, value: object) -> None:
            raise _frozen(self, name, repr(value))

        def __delattr__(self, name: str) -> None:
            raise _frozen(self, name, "nothing")


def _frozen(part: Part, name: str, value: str) -> TargetError:
    kind = type(part).__name__.removesuffix("Spec").lower()
    field = name if kind == "target" else f"{kind}.{name}"
    step = f"make another one: target.with_({{{field!r}: {value}}})"
    return TargetError(complaint("a target is never changed", where=field, got=value, next_step=step))

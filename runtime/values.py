"""The values that graphs and programs are written in: references, types, literals.

Shared by the compiler's IR and the runtime's program, so that lowering never translates them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .errors import VerifyError

DTYPES: dict[str, torch.dtype] = {
    "f32": torch.float32,
    "f64": torch.float64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i64": torch.int64,
    "i32": torch.int32,
    "i16": torch.int16,
    "i8": torch.int8,
    "u8": torch.uint8,
    "u16": torch.uint16,
    "u32": torch.uint32,
    "bool": torch.bool,
    "u64": torch.uint64,
    "c32": torch.complex32,
    "c64": torch.complex64,
    "c128": torch.complex128,
    "f8e4m3fn": torch.float8_e4m3fn,
    "f8e4m3fnuz": torch.float8_e4m3fnuz,
    "f8e5m2": torch.float8_e5m2,
    "f8e5m2fnuz": torch.float8_e5m2fnuz,
    "f8e8m0fnu": torch.float8_e8m0fnu,
}
"""Short dtype names of the IR text, and the torch dtypes they stand for."""

_SHORT = {dtype: short for short, dtype in DTYPES.items()}


def dtype_name(dtype: torch.dtype) -> str:
    """Short name of a torch dtype. Raises VerifyError for one the IR has no name for."""
    if dtype not in _SHORT:
        raise VerifyError(f"dtype {dtype} has no name in the IR; allowed: {', '.join(DTYPES)}.")
    return _SHORT[dtype]


Dim = int | str
"""A dimension: an integer, or the text of a symbolic size such as ``s0``."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to an input, a constant or an earlier node, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Token:
    """A torch enumeration literal: a dtype, layout, memory format or device, by its torch name; or a complex number."""

    text: str


def complex_token(number: complex) -> Token:
    """A complex number as a literal: ``complex:<real>:<imaginary>``."""
    return Token(f"complex:{number.real!r}:{number.imag!r}")


def complex_of(text: str) -> complex | None:
    """The complex number of a token's text; None where it is none."""
    kind, _, rest = text.partition(":")
    parts = rest.split(":")
    if kind != "complex" or len(parts) != 2:
        return None
    try:
        return complex(float(parts[0]), float(parts[1]))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class TensorType:
    """dtype (short name) and shape of a tensor value."""

    dtype: str
    shape: tuple[Dim, ...]

    @property
    def static(self) -> bool:
        """Whether every dimension is a number."""
        return all(isinstance(dim, int) for dim in self.shape)


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A Python number computed on the host: ``int``, ``float`` or ``bool``."""

    kind: str


@dataclass(frozen=True, slots=True)
class TupleType:
    """Several results of one op. ``None`` stands for a result that is absent."""

    items: tuple[ValueType | None, ...]


ValueType = TensorType | ScalarType | TupleType
Literal = None | bool | int | float | str
Arg = Literal | Ref | Token | tuple["Arg", ...]
"""An argument of an op: a literal, a reference, an enumeration token, or a tuple of arguments."""


def references(arg: Arg) -> tuple[str, ...]:
    """Names that an argument refers to, in order."""
    if isinstance(arg, Ref):
        return (arg.name,)
    if isinstance(arg, tuple):
        return tuple(name for item in arg for name in references(item))
    return ()


def rename(arg: Arg, names: dict[str, str]) -> Arg:
    """The argument with references renamed where ``names`` has an entry."""
    if isinstance(arg, Ref):
        return Ref(names.get(arg.name, arg.name))
    if isinstance(arg, tuple):
        return tuple(rename(item, names) for item in arg)
    return arg

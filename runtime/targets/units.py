"""Units of a target's numbers: the field's name carries the unit, and this is how it is read."""

from __future__ import annotations

# Longest suffix first: `_a_per_w` must win over `_w`.
_SUFFIXES: tuple[tuple[str, str], ...] = (
    ("_a_per_rthz", "A/sqrt(Hz)"),
    ("_j_per_sample", "J/sample"),
    ("_j_per_phase", "J/phase"),
    ("j_per_byte", "J/byte"),
    ("_j_per_step", "J/step"),
    ("_vectors_per_s", "vector/s"),
    ("_j_per_mac", "J/MAC"),
    ("_j_per_op", "J/op"),
    ("_db_per_hz", "dB/Hz"),
    ("_ops_per_s", "op/s"),
    ("_m2_per_byte", "m^2/byte"),
    ("bytes_per_s", "byte/s"),
    ("_bytes", "byte"),
    ("_m2", "m^2"),
    ("_a_per_w", "A/W"),
    ("_bits", "bit"),
    ("_rad", "rad"),
    ("_db", "dB"),
    ("_hz", "Hz"),
    ("_a", "A"),
    ("_s", "s"),
    ("_w", "W"),
    ("_j", "J"),
)
_NAMED = {"ports": "port", "cores": "core", "layers": "layer", "buffers": "buffer", "lanes": "lane"}

# Prefixes as divisors or factors that are exact in binary floating point (up to 10^22).
_DIVISORS = {"": 1.0, "m": 1e3, "u": 1e6, "n": 1e9, "p": 1e12, "f": 1e15, "a": 1e18}
_FACTORS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_PREFIXES = {
    "s": "munpf",
    "W": "munk",
    "J": "munpfa",
    "J/sample": "munpfa",
    "J/phase": "munpfa",
    "J/byte": "munpfa",
    "J/step": "munpfa",
    "vector/s": "kMGT",
    "byte": "kMGT",
    "byte/s": "kMGT",
    "J/MAC": "munpfa",
    "J/op": "munpfa",
    "A": "munp",
    "A/sqrt(Hz)": "munpf",
    "Hz": "kMGT",
    "op/s": "kMGT",
    "rad": "mu",
}

# Areas go by the square of the prefix: units in one m^2.
_AREAS = {
    "m^2": {"mm^2": 1e6, "um^2": 1e12},
    "m^2/byte": {"mm^2/byte": 1e6, "um^2/byte": 1e12},
}


def unit_of(field: str) -> str:
    """SI unit of a field by its name: ``window_s`` -> ``s``, ``ports`` -> ``port``, else ``1``."""
    if field in _NAMED:
        return _NAMED[field]
    return next((unit for suffix, unit in _SUFFIXES if field.endswith(suffix)), "1")


def accepted_units(field: str) -> tuple[str, ...]:
    """Units that a TOML file may use for a field, the SI unit first."""
    unit = unit_of(field)
    if unit in _NAMED.values():
        return (unit, "1")
    if unit in _AREAS:
        return (unit, *_AREAS[unit])
    binary = (prefix + unit for prefix in (_BINARY if unit == "byte" else ()))
    return (unit, *(prefix + unit for prefix in _PREFIXES.get(unit, "")), *binary)


def to_si(field: str, value: float, unit: str) -> float:
    """The value in the field's SI unit. ``unit`` must be one of :func:`accepted_units`."""
    base = unit_of(field)
    if base in _AREAS and unit in _AREAS[base]:
        return value / _AREAS[base][unit]
    prefix = unit[: len(unit) - len(base)] if unit != "1" else ""
    if prefix == "":
        return value
    if prefix in _BINARY:
        return value * _BINARY[prefix]
    return value * _FACTORS[prefix] if prefix in _FACTORS else value / _DIVISORS[prefix]

"""Options of the benchmarks, and the libraries they need: told by --help, and checked before anything begins."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from lightloom.runtime.installed import install_hint

PACKAGES = {"sklearn": "scikit-learn", "zmq": "pyzmq"}
"""Names of packages that are not those of their modules."""


class Options(argparse.ArgumentParser):
    """The command line of a script.

    Args:
        text: what it measures, its docstring.
        needs: modules that it cannot do without.
        sometimes: modules that some of its options need, and which; the script calls :func:`require` for these.
    """

    def __init__(self, text: str | None, *needs: str, **sometimes: str) -> None:
        told = [*map(_package, needs), *(f"{_package(name)} ({when})" for name, when in sometimes.items())]
        end = f"Needs {', '.join(told)}: {install_hint('bench')}." if told else "Needs nothing but lightloom."
        super().__init__(description=text, epilog=end, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.needs = needs

    def parse_args(self, *given: Any) -> argparse.Namespace:  # type: ignore[override]
        """The options; ends the script where a library is missing."""
        found = super().parse_args(*given)
        require(*self.needs)
        return found


def require(*modules: str) -> None:
    """End the script where one of the modules is not installed, and say how it is."""
    lacking = [_package(name) for name in modules if find_spec(name) is None]
    if lacking:
        are = "is" if len(lacking) == 1 else "are"
        raise SystemExit(f"{' and '.join(lacking)} {are} not installed: {install_hint('bench')}")


def _package(name: str) -> str:
    return PACKAGES.get(name, name)

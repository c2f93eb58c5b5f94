"""The errors lightloom raises on purpose.

Every message says what is wrong, where (layer path or field), what was given, what is allowed,
and the next step to take; :func:`complaint` puts those parts in one order.
"""

import re


class LightloomError(Exception):
    """Base of every error that lightloom raises on purpose."""


class CaptureError(LightloomError):
    """A model could not be turned into a graph.

    ``attempts``: what each way of tracing said, where several were tried.
    """

    attempts: tuple[str, ...] = ()


class CompileError(LightloomError):
    """A graph could not be lowered to a program."""


class VerifyError(LightloomError):
    """A graph, program or schedule breaks a rule of its stage."""


class TargetError(LightloomError):
    """A chip description is unknown, incomplete or impossible."""


class ArtefactError(LightloomError):
    """A .loom file is damaged, hostile or of another version."""


class InputError(LightloomError):
    """Data given to a program has the wrong shape, type or values."""


class DeviceError(LightloomError):
    """A device refused a request or broke its protocol."""


class LightloomWarning(UserWarning):
    """Something the user should know about a result that is still what was asked for."""


def complaint(what: str, *, where: str = "", got: object = None, allowed: str = "", next_step: str = "") -> str:
    """Compose an error text: what, where, got, allowed, next step; empty parts are left out.

    Each part is given without a full stop; what ends in one all the same does not end in two. The next step becomes a
    sentence, and keeps its first letter where it starts with code.
    """
    text = _open_ended(what)
    if where:
        text += f" (at {_open_ended(where)})"
    if got is not None:
        text += f"; got {_open_ended(str(got))}"
    if allowed:
        text += f"; allowed: {_open_ended(allowed)}"
    if next_step:
        start = next_step if _CODE.match(next_step) else next_step[0].upper() + next_step[1:]
        text += f"{' ' if text.endswith(_CLOSED) else '. '}{_open_ended(start)}"
    return text if text.endswith(_CLOSED) else text + "."


def shorten(value: object, limit: int = 60) -> str:
    """repr of a value, cut to ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


_CLOSED = ("?", "!", "...", "…")
_CODE = re.compile(r"(pip|python|git|lightloom) |-|\S*[`'\"()\[\]{}=_./\\0-9<>@$]")
"""A command, or a first word that holds what words of a sentence do not."""


def _open_ended(text: str) -> str:
    text = text.rstrip()
    return text[:-1].rstrip() if text.endswith(".") and not text.endswith("..") else text

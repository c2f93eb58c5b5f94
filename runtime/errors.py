"""The errors lightloom raises on purpose.

Every message says what is wrong, where (layer path or field), what was given, what is allowed,
and the next step to take; :func:`complaint` puts those parts in one order.
"""


class LightloomError(Exception):
    """Base of every error that lightloom raises on purpose."""


class CaptureError(LightloomError):
    """A model could not be turned into a graph."""


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
    """Compose an error text: what, where, got, allowed, next step; empty parts are left out."""
    text = what if not where else f"{what} (at {where})"
    if got is not None:
        text += f"; got {got}"
    if allowed:
        text += f"; allowed: {allowed}"
    if next_step:
        text += f". {next_step[0].upper()}{next_step[1:]}"
    return text if text.endswith((".", "?")) else text + "."

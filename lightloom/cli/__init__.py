"""The command line: the front door's powers, one command each."""

from .app import app, main

__all__ = ["app", "main"]

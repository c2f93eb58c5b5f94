"""Servers in threads of their own, stopped after each test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lightloom as ll


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    from lightloom.runtime.remote.server import DeviceServer

    running: list[tuple[DeviceServer, threading.Thread]] = []

    def start(device: Any, target: ll.Target, **options: Any) -> Any:
        server = DeviceServer(device, target, **options)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join(timeout=10)
        assert not thread.is_alive()

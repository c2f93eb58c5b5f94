"""Devices to run programs on: the simulator in this process, a served one, or a driver of your own.

device = ll.devices.connect("tcp://127.0.0.1:5555")
with device.reserve() as session:
    y = session.run(program, x)
"""

from __future__ import annotations

from os import PathLike

from .runtime import targets
from .runtime.device import PhotonicDevice
from .runtime.errors import DeviceError, complaint
from .runtime.remote.lease import Lease
from .runtime.sessions.session import Session
from .runtime.targets import Target


class Device:
    """A device that is used in sessions, by one client at a time.

    Args:
        driver: What speaks to the chip.
        cores: Its cores.
        lease_s: Silence after which a session loses the device to the next client; None: a served device, whose
            server keeps the lease.
        target: The chip, if it is known: what sessions tell of times and energy is by it.
    """

    def __init__(
        self, driver: PhotonicDevice, cores: int, lease_s: float | None = 60.0, target: Target | None = None
    ) -> None:
        self.driver = driver
        self.cores = cores
        self.target = target
        self._lease = None if lease_s is None else Lease(lease_s, driver.release)

    def reserve(self, name: str = "session", *, threshold_rad: float = 0.0) -> Session:
        """Take the device: a context manager that gives it back.

        Args:
            name: Who is told to others that want the device meanwhile.
            threshold_rad: Phases that a new configuration would move by no more stay as they are, and so do attenuators
                that would move by no more than the same share of their range (pi / 2: a quarter). Results may change;
                :attr:`Session.usage` tells how far settings are off. With 0, results are exactly those of a full
                configuration.

        Raises:
            DeviceError: another client holds it (says which, and for how long), or it cannot be reached.
            InputError: a threshold outside 0 to pi.
        """
        return Session(self.driver, self.cores, self._lease, name, target=self.target, threshold_rad=threshold_rad)

    def close(self) -> None:
        """Disconnect from a served device; others have nothing to close."""
        close = getattr(self.driver, "close", None)
        if callable(close):
            close()


def simulator(target: str | PathLike[str] | Target = "mzi64", *, seed: int = 0, lease_s: float = 60.0) -> Device:
    """The simulator of a chip, in this process."""
    from .runtime.simulator import SimulatorDevice

    chip = targets.get(target)
    return Device(SimulatorDevice(chip, seed), chip.mesh.cores, lease_s, chip)


def connect(address: str, *, timeout_s: float = 10.0) -> Device:
    """A device that ``lightloom serve`` serves, here or on another machine.

    Args:
        address: As the server prints it: ``tcp://host:port``.
        timeout_s: How long to wait for an answer before the server counts as gone.

    Raises:
        DeviceError: nothing answers there.
        LightloomError: pyzmq is not installed (extra ``serve``).
    """
    from .runtime.remote.client import RemoteDevice

    driver = RemoteDevice(address, timeout_s)
    try:
        target = driver.target()
        cores = driver.status().get("cores") if target is None else target.mesh.cores
        if not isinstance(cores, int):
            raise DeviceError(complaint("the server does not say how many cores the device has", where=address))
    except BaseException:
        driver.close()
        raise
    return Device(driver, cores, lease_s=None, target=target)

"""The device protocol: what the simulator accepts, what it refuses, and what it answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lightloom.runtime import fixedpoint
from lightloom.runtime.banks import effective_matrices, phase_words
from lightloom.runtime.device import ConfigureRequest, Header, PhotonicDevice, StreamRequest, TileId, statistics
from lightloom.runtime.errors import DeviceError
from lightloom.runtime.nulldevice import NullDevice
from lightloom.runtime.simulator import SimulatorDevice

from .bankloop.toy import make_bank, make_target

TARGET = make_target(
    4, mesh_={"phase_bits": 8, "attenuator_bits": 8}, encoding={"dac_bits": 6}, detection={"adc_bits": 8}
)
BANK = make_bank(6, 7, phase_bits=8, attenuator_bits=8)


def header(sequence, core=0, tile=0, configuration=1, batch=0):
    place = tuple(int(BANK.columns[name][tile]) for name in ("group", "row", "col"))
    return Header(TileId("toy", 0, tile, place, (1, 2, 2)), core, 0, batch, configuration, 7, sequence)


def configuration(head, **changes):
    row = slice(head.tile.index, head.tile.index + 1)
    request = ConfigureRequest(
        head,
        fixedpoint.phase_codes(phase_words(BANK, "left", row), 8)[0],
        fixedpoint.phase_codes(phase_words(BANK, "right", row), 8)[0],
        fixedpoint.attenuator_codes(BANK.columns["attenuation"][row], 8)[0],
        8,
        8,
        BANK.columns["adc_full_scale"][head.tile.index],
        4,
    )
    return replace(request, **changes)


def window(head, vectors=5, fill=None):
    codes = torch.arange(2 * vectors * 4).reshape(2, vectors, 4) % 64
    return StreamRequest(head, codes.double() if fill is None else torch.full((2, vectors, 4), fill))


@pytest.fixture
def device():
    made = SimulatorDevice(TARGET)
    made.reserve(2)
    return made


def test_both_devices_follow_the_protocol():
    assert isinstance(SimulatorDevice(TARGET), PhotonicDevice)
    assert isinstance(NullDevice(), PhotonicDevice)


def test_readings_are_the_tiles_matrix_in_adc_codes(device):
    device.configure(configuration(header(1, tile=2)))
    request = window(header(2, tile=2))
    device.stream(request)
    response = device.read_out(request.header)
    matrix = effective_matrices(BANK, TARGET)[2]
    full_scale = torch.from_numpy(BANK.columns["adc_full_scale"][2]).double()
    codes = torch.round((request.codes @ matrix.T / 63) / (full_scale / 127)).clamp(-127, 127)
    assert torch.equal(response.codes, codes)
    assert response.header == request.header
    assert response.shape == (2, 5, 4)


def test_statistics_describe_the_readings(device):
    device.configure(configuration(header(1), adc_full_scale=np.full(4, 0.2, np.float32)))
    device.stream(window(header(2)))
    response = device.read_out(header(2))
    seen, stats = response.codes, response.statistics
    assert (stats.minimum, stats.maximum) == (seen.min(), seen.max())
    assert stats.mean == pytest.approx(float(seen.mean()))
    assert stats.rms == pytest.approx(float((seen**2).mean().sqrt()))
    assert stats.saturated == int((seen.abs() == 127).sum()) > 0


def test_statistics_of_an_empty_window_are_zero():
    assert statistics(torch.empty(2, 0, 4), -1, 1).saturated == 0


def test_noise_is_that_of_the_vector_not_of_the_window():
    target = TARGET.with_({"detection.noise": True, "detection.launch_power_w": 1e-6})
    whole, cut = SimulatorDevice(target, 3), SimulatorDevice(target, 3)
    for device in (whole, cut):
        device.reserve(1)
        device.configure(configuration(header(1)))
    whole.stream(window(header(2)))
    expected = whole.read_out(header(2)).codes
    parts = []
    for sequence, (start, stop) in enumerate([(0, 2), (2, 5)], start=2):
        head = header(sequence, batch=start)
        cut.stream(StreamRequest(head, window(head).codes[:, start:stop]))
        parts.append(cut.read_out(head).codes)
    assert torch.equal(torch.cat(parts, 1), expected)
    other = SimulatorDevice(target, 4)
    other.reserve(1)
    other.configure(configuration(header(1)))
    other.stream(window(header(2)))
    assert not torch.equal(other.read_out(header(2)).codes, expected)


def test_an_offset_is_measured_on_request(device):
    answer = device.configure(configuration(header(1), lit_ports=3, measure_offset=True))
    expected = effective_matrices(BANK, TARGET)[0][:, :3].sum(1)
    np.testing.assert_allclose(answer.offset, expected, atol=1e-15)
    assert device.configure(configuration(header(2))).offset is None


def test_nothing_happens_without_a_reservation():
    device = SimulatorDevice(TARGET)
    with pytest.raises(DeviceError, match=r"not reserved .*Call reserve"):
        device.configure(configuration(header(1)))
    device.reserve(1)
    device.configure(configuration(header(1)))
    device.release()
    device.release()
    with pytest.raises(DeviceError, match="not reserved"):
        device.stream(window(header(2)))
    device.reserve(1)
    with pytest.raises(DeviceError, match="before any configuration"):
        device.stream(window(header(1)))


@pytest.mark.parametrize(("cores", "message"), [(0, "1 to 2"), (3, "1 to 2")])
def test_cores_that_are_not_there_cannot_be_reserved(cores, message):
    with pytest.raises(DeviceError, match=message):
        SimulatorDevice(TARGET).reserve(cores)


def test_a_device_is_reserved_once(device):
    with pytest.raises(DeviceError, match="reserved already"):
        device.reserve(1)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (window(header(1)), "sequence numbers must grow .*got 1; allowed: more than 1"),
        (window(header(2, core=1)), "before any configuration"),
        (window(header(2, core=2)), "no such core .*allowed: 0 to 1"),
        (window(header(2, tile=1)), "holds another configuration"),
        (window(header(2, configuration=2)), "holds another configuration"),
        (window(header(2), fill=64.0), "cannot make .*got 64.0 to 64.0; allowed: whole DAC codes, 0 to 63"),
        (window(header(2), fill=-1.0), "cannot make"),
        (window(header(2), fill=0.5), "cannot make"),
        (window(header(2), fill=float("nan")), "cannot make"),
        (StreamRequest(header(2), torch.zeros(1, 5, 4)), r"wrong shape .*allowed: \(2, vectors, 4\)"),
        (StreamRequest(header(2), torch.zeros(2, 5, 3)), "wrong shape"),
        (StreamRequest(header(2), torch.zeros(2, 4)), "wrong shape"),
    ],
)
def test_windows_that_do_not_fit_are_refused(device, request_, message):
    device.configure(configuration(header(1)))
    with pytest.raises(DeviceError, match=message):
        device.stream(request_)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left": np.zeros(15, np.uint32)}, r"wrong table of left codes .*allowed: uint32 \(16,\)"),
        ({"right": np.zeros(16)}, "wrong table of right codes"),
        ({"right": np.full(16, 256, np.uint32)}, "a right code beyond the driver .*got 256; allowed: 0 to 255"),
        ({"attenuators": np.full(4, 300, np.uint32)}, "a attenuators code beyond|attenuators code beyond"),
        ({"adc_full_scale": np.ones(3)}, "wrong table of ADC full scales"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(device, changes, message):
    with pytest.raises(DeviceError, match=message):
        device.configure(configuration(header(1), **changes))


def test_a_window_is_read_once(device):
    device.configure(configuration(header(1)))
    device.stream(window(header(2)))
    device.read_out(header(2))
    with pytest.raises(DeviceError, match="no such window"):
        device.read_out(header(2))


def test_the_null_device_answers_zeros_of_the_right_shape():
    device = NullDevice()
    request = window(header(2))
    device.configure(configuration(header(1), measure_offset=True))
    device.stream(request)
    response = device.read_out(request.header)
    assert response.codes.shape == response.shape == (2, 5, 4)
    assert not response.codes.any()
    assert device.calls == ["configure", "stream", "read_out"]
    assert device.requests[1] is request

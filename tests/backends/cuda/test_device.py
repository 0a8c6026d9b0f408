"""The device is decided on by what torch can do there, not by what a driver shows; and it is said why."""

import ctypes

import msgspec
import pytest
import torch
from support.card import Card

from inspectd.backends.cuda import device, driver
from inspectd.backends.cuda.arithmetic import product_rate
from inspectd.backends.cuda.device import choose_device, has_code, unusable
from inspectd.backends.cuda.driver import Driver
from inspectd.backends.cuda.memory import footprint, limit_memory
from inspectd.backends.scorer import Scorer, computes_on_cuda
from inspectd.bank.file import read_bank
from inspectd.config import Recipe, ScoringSettings
from inspectd.errors import InputError, UnavailableError
from inspectd.scoring.messages import StartScoring
from inspectd.scoring.pool import process_starts
from inspectd.scoring.worker import admit_banks, placed

NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"


@pytest.fixture(autouse=True)
def asked_anew():
    def forget():
        for asked in (driver.find_driver, device.unusable, device._automatic):
            asked.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def shown(monkeypatch):
    """A driver that shows two cards."""

    def find_driver():
        return Driver(2, "550.54")

    find_driver.cache_clear = lambda: None
    monkeypatch.setattr(device, "find_driver", find_driver)
    monkeypatch.setattr(driver, "find_driver", find_driver)


@pytest.fixture
def card(monkeypatch, shown):
    monkeypatch.setattr(device, "_computes_wrong", lambda _device: False)
    return Card(monkeypatch)


def test_a_driver_that_torch_cannot_use_leaves_all_to_the_fast_path_of_the_cpu(shown, bank_file, caplog):
    assert not computes_on_cuda("auto")
    start = StartScoring(ScoringSettings(), (Recipe(name="r", bank=str(bank_file)),), 4)
    admit_banks(start)
    assert Scorer.load(bank_file, "auto").info.backend == "openvino"
    (record,) = [record for record in caplog.records if record.getMessage() == "cuda_unusable"]
    assert record.fields["driver"] == "550.54"
    assert "cannot use the driver 550.54: Found no NVIDIA driver" in record.fields["reason"]


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_who_asks_for_a_card_is_told_why_there_is_none(shown, bank_file, name):
    start = StartScoring(ScoringSettings(device=name), (Recipe(name="r", bank=str(bank_file)),), 4)
    with pytest.raises(
        UnavailableError, match=f"device '{name}': torch .* cannot use the driver 550.54: Found"
    ):
        admit_banks(start)


def names(start):
    return [recipe.name for recipe in start.recipes]


@pytest.fixture
def tight(bank_file):
    """Settings of two cards, each of which holds one of two banks and not both; and the two recipes."""
    one = footprint("a", str(bank_file), read_bank(bank_file))
    megabytes = (1.5 * one.device_bytes + one.loading_bytes) / 1e6
    settings = ScoringSettings(devices=("cuda:0", "cuda:1"), device_memory_mb=megabytes)
    return settings, tuple(Recipe(name=name, bank=str(bank_file)) for name in "ab")


def test_banks_that_no_card_holds_together_are_spread_over_several(card, tight):
    settings, recipes = tight
    starts = [placed(start) for start in process_starts(settings, recipes, 4, ())]
    assert [names(start) for start in starts] == [["a"], ["b"]]
    roomy = msgspec.structs.replace(settings, device_memory_mb=0)
    for start in process_starts(roomy, recipes, 4, ()):
        assert names(placed(start)) == ["a", "b"]


def test_a_card_that_is_missing_is_tried_again_where_its_room_is_needed(card, tight):
    settings, recipes = tight
    gone = msgspec.structs.replace(settings, devices=("cuda:0", "cuda:7"))
    first, second = process_starts(gone, recipes, 4, ())
    with pytest.raises(UnavailableError, match=r"finds no room .*; one of them is not there now"):
        placed(first)
    with pytest.raises(UnavailableError, match="device 'cuda:7': this machine has 2 usable CUDA devices"):
        placed(second)
    roomy = msgspec.structs.replace(gone, device_memory_mb=0)
    assert names(placed(process_starts(roomy, recipes, 4, ())[0])) == ["a", "b"]


def test_without_a_driver_that_is_the_reason():
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(UnavailableError, match="no NVIDIA driver, or a driver that shows no CUDA device"):
        choose_device("cuda")
    with pytest.raises(UnavailableError, match="'auto': is cpu here"):
        limit_memory("auto", 100)


@pytest.mark.parametrize("name", ["cuda:", "cuda:-1", "cuda:x", "gpu", "", "meta"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match=r"unknown; expected auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_the_device_chosen_is_the_current_one(card):
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert card.current == 1
    assert choose_device("auto") == torch.device("cuda", 0)
    assert card.current == 0
    assert "2 usable CUDA devices" in unusable(2)


def test_a_card_torch_has_no_code_for_is_named(monkeypatch, shown, caplog):
    Card(monkeypatch, capability=(7, 0))
    assert choose_device("auto") == torch.device("cpu")
    (record,) = caplog.records
    assert "NVIDIA H100 has compute capability 7.0" in record.fields["reason"]
    assert "has code for sm_80, sm_90" in record.fields["reason"]


def test_a_card_on_which_no_kernel_runs_is_not_used(monkeypatch, card):
    def fails(_device):
        raise torch.AcceleratorError(NO_KERNEL)

    monkeypatch.setattr(device, "_computes_wrong", fails)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(UnavailableError, match="no kernel image is available"):
        choose_device("cuda")


def test_a_card_that_computes_something_else_is_not_used(monkeypatch, card):
    monkeypatch.setattr(device, "_computes_wrong", lambda _device: True)
    with pytest.raises(UnavailableError, match="a trial computed something else"):
        choose_device("cuda")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_full_card_is_waited_for_and_asked_again(monkeypatch, card, name):
    def is_full(_device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as full:
        full.setattr(device, "_computes_wrong", is_full)
        with pytest.raises(UnavailableError, match="cuda:0: its memory is full"):
            choose_device(name)
    assert choose_device(name) == torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("capability", "built_for", "there"),
    [
        ((9, 0), ["sm_80", "sm_90"], True),
        ((8, 9), ["sm_80", "sm_86"], True),
        ((8, 0), ["sm_86"], False),
        ((7, 0), ["sm_75", "sm_80"], False),
        ((10, 3), ["sm_100"], True),
        ((12, 1), ["sm_100"], False),
        ((12, 1), ["sm_90", "compute_90"], True),
        ((9, 0), [], False),
    ],
)
def test_code_for_a_card_is_of_its_major_or_compiled_at_load(capability, built_for, there):
    assert has_code(capability, built_for) is there


class Library:
    """libcuda's four calls."""

    def __init__(self, code, cards):
        self._code, self._cards = code, cards

    def cuDriverGetVersion(self, version):  # noqa: N802 - the driver's name
        version._obj.value = 12040

    def cuInit(self, _flags):  # noqa: N802 - the driver's name
        return self._code

    def cuDeviceGetCount(self, count):  # noqa: N802 - the driver's name
        count._obj.value = self._cards
        return 0

    def cuGetErrorString(self, _code, text):  # noqa: N802 - the driver's name
        text._obj.value = b"system has unsupported display driver / cuda driver combination"


@pytest.mark.parametrize(("code", "cards", "events"), [(0, 2, 0), (100, 0, 0), (803, 0, 1)])
def test_a_driver_that_fails_is_told_from_a_machine_without_a_card(monkeypatch, caplog, code, cards, events):
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Library(code, cards))
    found = driver.find_driver()
    assert found.cards == cards
    assert found.version
    assert len(caplog.records) == events
    if events:
        assert "fails with 803: system has unsupported" in caplog.records[0].fields["reason"]
        assert not computes_on_cuda("auto")
        with pytest.raises(UnavailableError, match="fails with 803"):
            choose_device("cuda")
        assert len(caplog.records) == events


def test_a_rate_is_measured_on_the_card_it_is_of(monkeypatch):
    card = Card(monkeypatch)
    seen = []

    class Event:
        def __init__(self, enable_timing):
            self.record = self.synchronize = lambda: seen.append(card.current)

        def elapsed_time(self, _end):
            return 20.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch, "randn", lambda *_shape, device, dtype: torch.zeros(1))
    assert product_rate("cuda:1") > 0
    assert seen == [1, 1, 1]


@pytest.mark.gpu
def test_a_card_is_used():
    assert choose_device("auto") == torch.device("cuda", 0)
    assert unusable(0) is None

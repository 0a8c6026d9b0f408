"""The contract of `tools/camera_contract`, kept by every kind of camera with few parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from camera_contract.camera import numbered
from camera_contract.cases import CASES
from camera_contract.files import FolderContractCamera
from camera_contract.plant import Case, run
from support.lone_network import lone_network

PARTS = 16
HERE = (
    "synthetic",
    "folder",
    "mjpeg",
    "rtsp",
    "gige a, photo eye, ids wrap",
    "gige b, ids of 64 bits",
    "gige b, lossy, no resend",
    "gige b, slow registers",
    "gige a, exposures in turn",
    "gige b, exposures in turn",
    "gentl",
    "gentl, producer hangs",
    "pylon, free",
)


@pytest.fixture(autouse=True)
def network():
    with lone_network():
        yield


def quickly(case):
    """The case beside other tests: what is judged late is nobody's fault here, what is judged wrongly is."""
    return replace(
        case,
        away_seconds=min(1.0, case.away_seconds),
        back_seconds=3 * case.back_seconds,
        least_judged=0.25,
    )


@pytest.mark.system
@pytest.mark.parametrize("case", [case for case in CASES if case.name in HERE], ids=lambda case: case.name)
def test_parts_are_judged_by_their_own_frames_and_none_passes_while_the_camera_is_away(case, tmp_path):
    assert not run(quickly(case), tmp_path, PARTS, lambda: None).violations


class LateCamera(FolderContractCamera):
    """Shows the part before, always."""

    def put(self, number):
        super().put(number)
        numbered(max(0, number - 1)).write(self._folder / "view.png")


@pytest.mark.daemon
def test_a_camera_that_shows_the_part_before_breaks_it(tmp_path):
    result = run(Case("late", LateCamera, unplugged=False), tmp_path, 4, lambda: None)
    assert result.passed == 4
    assert "part 1 passed by a frame that is not its own" in result.violations[0]


@pytest.mark.daemon
def test_a_camera_that_is_not_unplugged_when_it_is_told_to_be_breaks_it(tmp_path):
    class StayingCamera(FolderContractCamera):
        def unplug(self):
            pass

        def plug_in(self):
            pass

    result = run(Case("staying", StayingCamera, away_seconds=0.3), tmp_path, 4, lambda: None)
    assert any("passed while the camera was away" in each for each in result.violations)

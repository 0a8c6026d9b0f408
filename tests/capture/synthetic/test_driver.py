import pytest

from inspectd.capture.driver import CameraError
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.capture.synthetic.driver import SyntheticDriver
from inspectd.config import SyntheticCamera, SyntheticFault
from inspectd.records import CameraSettings, Quality

FPS = 10.0


class Line:
    """A synthetic camera on a clock of its own, which a hang moves on."""

    def __init__(self, *faults, **settings):
        self.now = 100.0
        self.hung_seconds = 0.0
        small = {"width": 120, "height": 64, "fps": FPS}
        settings = {"name": "c", "recipe": "r", **small, **settings}
        self.driver = SyntheticDriver(SyntheticCamera(**settings, faults=faults), lambda: self.now, self.hang)
        self.gate = FrameGate(self.driver._settings.quality)

    def hang(self, seconds):
        self.hung_seconds += seconds
        self.now += seconds

    def opened(self):
        self.driver.open(lambda: None)
        return self

    def next(self):
        """The next frame, when it is due."""
        self.now += self.driver.due_seconds()
        return self.driver.read()

    def qualities(self, count):
        found = []
        for _ in range(count):
            frame = self.next()
            found.append(self.gate.judge(frame, frame_digest(frame.pixels).digest()))
        return found


def fault(kind, at_frame=5, frames=3):
    return SyntheticFault(kind=kind, at_frame=at_frame, frames=frames)


def number(frame):
    return int(frame.source.split("/")[1])


@pytest.mark.parametrize(
    ("kind", "quality"),
    [
        ("freeze", Quality.FROZEN),
        ("repeat", Quality.FROZEN),
        ("black", Quality.BLACK),
        ("half", Quality.PARTIAL),
        ("clock_jump", Quality.STALE),
        ("torn", Quality.PARTIAL),
        ("colours", Quality.OK),  # nothing but what the bank has learnt can tell these two
        ("turned", Quality.OK),
    ],
)
@pytest.mark.parametrize("colour", [True, False])
def test_a_fault_befalls_its_frames_alone_and_is_found_where_the_gate_can(kind, quality, colour):
    line = Line(fault(kind), colour=colour).opened()
    assert line.qualities(12) == [Quality.OK] * 4 + [quality] * 3 + [Quality.OK] * 5


def test_a_spoilt_frame_says_so_beside_its_truth():
    line = Line(fault("black"), defect_rate=1.0, defects=("dent",)).opened()
    for _ in range(4):
        assert len(line.next().source.split("/")) == 3
    frame = line.next()
    assert frame.label == "dent"
    assert frame.source.startswith("synthetic#1/5/dent,")
    assert frame.source.endswith("/black")


def test_a_torn_frame_has_the_one_before_below():
    line = Line(fault("torn", frames=1)).opened()
    *_, before, torn = [line.next() for _ in range(5)]
    assert (torn.pixels[32:] == before.pixels[32:]).all()
    assert (torn.pixels[:32] != before.pixels[:32]).any()


@pytest.mark.parametrize("kind", ["stall", "lost"])
def test_nothing_comes_for_as_long_as_the_frames_would_have_taken(kind):
    line = Line(fault(kind)).opened()
    frames = [line.next() for _ in range(4)]
    begun = line.now
    assert line.driver.due_seconds() == pytest.approx(3 / FPS, abs=0.11)
    frames += [line.next() for _ in range(2)]
    assert line.now - begun == pytest.approx(4 / FPS, abs=0.11)
    assert [number(frame) for frame in frames] == [1, 2, 3, 4, 8, 9]
    assert [frame.lost_before for frame in frames[4:]] == [3 if kind == "lost" else 0, 0]


def test_a_hang_blocks_the_read_and_the_line_goes_on_meanwhile():
    line = Line(fault("hang", frames=50)).opened()
    assert [number(line.next()) for _ in range(6)] == [1, 2, 3, 4, 55, 56]
    assert line.hung_seconds == pytest.approx(50 / FPS)


def test_an_unplugged_camera_does_not_open_until_it_is_plugged_in_again():
    line = Line(fault("unplug")).opened()
    for _ in range(4):
        line.next()
    with pytest.raises(CameraError, match="unplugged until frame 8"):
        line.next()
    line.driver.close()
    with pytest.raises(CameraError):
        line.driver.open(lambda: None)
    line.now += 3 / FPS
    line.opened()
    assert number(line.next()) == 8


def test_it_ends_after_as_many_frames_as_set():
    line = Line(frames=3).opened()
    assert [number(line.next()) for _ in range(3)] == [1, 2, 3]
    assert line.next() is None


def test_a_longer_exposure_makes_it_brighter():
    line = Line(exposure_us=1000.0).opened()
    before = line.next().pixels.mean()
    line.driver.apply(CameraSettings(exposure_us=1500.0))
    assert line.next().pixels.mean() == pytest.approx(1.5 * before, rel=0.08)
    line.driver.apply(CameraSettings(exposure_us=1000.0))


def commanded(tmp_path, text):
    new = tmp_path / "new"
    new.write_text(text)
    new.rename(tmp_path / "faults.toml")


def test_a_file_commands_faults_from_the_next_frame_on_until_it_says_something_else(tmp_path):
    commanded(tmp_path, '[[faults]]\nkind = "black"\n')  # done, when the camera starts
    line = Line(fault("half", at_frame=9, frames=1), fault_file=str(tmp_path / "faults.toml")).opened()
    assert line.qualities(2) == [Quality.OK] * 2
    commanded(
        tmp_path, '[[faults]]\nkind = "black"\n[[faults]]\nkind = "freeze"\nat_frame = 3\nframes = 100\n'
    )
    assert line.qualities(4) == [Quality.BLACK, Quality.OK, Quality.FROZEN, Quality.FROZEN]
    (tmp_path / "faults.toml").unlink()
    assert line.qualities(4) == [Quality.OK, Quality.OK, Quality.PARTIAL, Quality.OK]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[faults]]\nkind = 7\n", "faults[0].kind: got 7"),
        ('[[faults]]\nkind = "unplug"\nframes = 0\n', "faults[0].frames: got 0"),
        ("faults = [", "is not TOML"),
        ("\0", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing_and_the_log_says_why(tmp_path, caplog, text, said):
    line = Line(fault("half"), fault_file=str(tmp_path / "faults.toml")).opened()
    assert line.qualities(4) == [Quality.OK] * 4
    commanded(tmp_path, text)
    assert line.qualities(2) == [Quality.PARTIAL] * 2
    (refused,) = [record for record in caplog.records if record.getMessage() == "faults_refused"]
    assert said in refused.fields["detail"]


def test_a_camera_that_was_unplugged_by_the_file_can_be_plugged_in_by_it(tmp_path):
    line = Line(fault_file=str(tmp_path / "faults.toml")).opened()
    line.next()
    commanded(tmp_path, '[[faults]]\nkind = "unplug"\nframes = 1000000\n')
    line.driver.due_seconds()
    with pytest.raises(CameraError):
        line.driver.read()
    commanded(tmp_path, "")
    line.opened()
    assert number(line.next()) == 2


def test_a_process_that_was_replaced_does_not_hang_again_by_the_file(tmp_path):
    commanded(tmp_path, '[[faults]]\nkind = "hang"\nframes = 100\n')
    line = Line(fault_file=str(tmp_path / "faults.toml")).opened()
    line.next()
    assert line.hung_seconds == 0

"""Several regions of a camera's frames, each judged by its recipe: by the stub, and by the real scorer."""

from __future__ import annotations

import urllib.request
from collections import Counter
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import zmq
from support.cells import cells
from support.changeovers import add_recipe, ask, begin_shadow, prepare
from support.daemon import Daemon, camera_table, settings
from support.ports import free_port

from inspectd import cli
from inspectd.backends.scorer import Scorer
from inspectd.bank.file import read_bank, write_bank
from inspectd.client import (
    Accepted,
    Heatmap,
    Preview,
    PreviewReader,
    RecipeAck,
    RecipeAction,
    Refusal,
    ask_status,
)  # fmt: skip
from inspectd.client.decode import decode
from inspectd.client.golden import GoldenAsker
from inspectd.evidence.record import read_record
from inspectd.scoring.stub import Behaviour
from inspectd.wire import PreviewHeat, Rectangle
from inspectd.wire.golden import GoldenAction, GoldenOutcome

GREY = {"left": 40, "mid": 128, "right": 215}
"""Of the three regions of a frame of 60 x 30; each 20 wide."""
PARTS = 60
RECIPES = """
[[recipes]]
name = "bright"
bank = "stub.bank"
threshold = 0.9
"""


def regions(**recipes: str | None) -> str:
    """Tables of regions that lie side by side, each with its recipe; None: the camera's."""
    tables = []
    for number, (name, recipe) in enumerate(recipes.items()):
        of_recipe = "" if recipe is None else f'recipe = "{recipe}"\n'
        place = f"{{left = {20 * number}, top = 5, width = 20, height = 20}}"
        tables.append(f'[[cameras.regions]]\nname = "{name}"\n{of_recipe}rectangle = {place}\n')
    return "".join(tables)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 pictures whose regions differ in brightness, each with noise of its own."""
    folder = tmp_path_factory.mktemp("frames") / "good"
    folder.mkdir()
    chance = np.random.default_rng(1)
    levels = np.repeat(np.array(list(GREY.values())), 20)[None, :, None]
    for number in range(20):
        picture = levels + chance.integers(-20, 21, (30, 60, 3))
        cv2.imwrite(str(folder / f"{number:02}.png"), picture.astype(np.uint8))
    return folder


def counts_of(daemon: Daemon):
    """The counts at the end of a line, which close."""
    counts = daemon.reader.event("stopped").counts
    assert counts.in_flight == counts.triggers_open == 0
    assert counts.captured + counts.further == counts.verdicts + counts.drops
    assert counts.verdicts + counts.missed == len(daemon.reader.verdicts)
    numbers = [v.seq for v in [*daemon.reader.verdicts, *daemon.reader.parts]]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    return counts


def test_a_part_is_judged_by_every_region_of_every_camera(start_daemon, plant, frames):
    cameras = "".join(
        camera_table(name, frames, fps=100, slots=32, mode='"triggered"')
        + regions(left=None, mid=None, right="bright")
        for name in ("top", "side")
    )
    triggers = "[triggers]\nwindow_ms = 500\nmax_delay_ms = 2000\n"
    text = settings("stub.bank", cameras, recipe=f"threshold = 0.6\n{RECIPES}", extra=triggers)
    daemon = start_daemon(text).ready()
    line_plant = plant(daemon)
    refused = line_plant.trigger("named", recipe="bright")
    assert isinstance(refused, Refusal)
    assert refused.detail.startswith("recipe 'bright' does not say what judges the regions of camera top")
    for number in range(PARTS):
        answer = line_plant.trigger(number)
        assert isinstance(answer, Accepted), answer
        assert answer.cameras == ["top", "side"]
        line_plant.part(number)
    places = {status.place: status for status in ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").cameras}
    assert list(places) == [f"{camera}/{region}" for camera in ("top", "side") for region in GREY]
    assert places["top/right"].recipe == "bright"
    assert daemon.stop() == 0

    counts = counts_of(daemon)
    assert (counts.parts, counts.verdicts + counts.missed) == (PARTS, PARTS * 6)
    assert counts.further * 3 == counts.verdicts * 2
    for part in daemon.reader.parts:
        assert [(view.camera, view.region) for view in part.views] == [tuple(p.split("/")) for p in places]
        # On a machine that is busy with other things a frame may be in doubt: then no region of it is taken.
        missed = Counter(view.camera for view in part.views if view.reason == "missed_trigger")
        assert set(missed.values()) <= {3}
        assert part.evaluation == ("undecidable" if missed else "pass")
    assert counts.missed < PARTS
    judged = [v for v in daemon.reader.verdicts if v.frame_seq is not None]
    used = Counter((v.camera, v.frame_generation, v.frame_seq, v.frame_sha256) for v in judged)
    assert set(used.values()) == {3}
    for verdict in judged:
        assert verdict.score == pytest.approx(GREY[verdict.region] / 255, abs=0.05)
        assert verdict.rectangle.left == 20 * list(GREY).index(verdict.region)
        assert verdict.recipe == ("bright" if verdict.region == "right" else "cell")


def test_a_region_beyond_the_frame_or_of_another_size_than_its_bank_is_undecidable_and_no_other(
    start_daemon, frames
):
    camera = camera_table("top", frames, fps=50, loop=False) + regions(
        left=None, mid=None, right=None, far=None
    )
    camera += '[[cameras.regions]]\nname = "thin"\nrectangle = {left = 0, top = 0, width = 20, height = 4}\n'
    port = free_port()
    text = settings("stub.bank", camera, metrics_port=port)
    daemon = start_daemon(text, behaviour=Behaviour(image_sizes=((20, 20),)))
    daemon.until(lambda: daemon.phases() == ["ended"] and not daemon.reader.heartbeats[-1].counts.in_flight)

    def totals():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            rows = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#"]
        names = ("frames_captured", "further_inspections", "verdicts", "region_verdicts")
        starts = [f"inspectd_{name}_total" for name in names]
        return [sum(float(n) for row, n in rows if row.startswith(start)) for start in starts]

    # A verdict is counted when it is published, with the group that it is recorded in.
    daemon.until(lambda: totals() == [20, 80, 100, 100])
    assert daemon.stop() == 0
    found = Counter((v.region, str(v.reason)) for v in daemon.reader.verdicts)
    inside = {(region, "within_threshold"): 20 for region in GREY}
    assert found == {**inside, ("far", "format"): 20, ("thin", "format"): 20}
    told = sorted(e.detail for e in daemon.reader.events if e.event == "format_changed")
    assert told == [
        "region far reaches to column 80 and row 25, frames are 60x30",
        "region thin is 20x4, the images of recipe cell were 20x20",
    ]
    counts = counts_of(daemon)
    assert (counts.captured, counts.verdicts, counts.further) == (20, 100, 80)


def test_a_line_with_too_many_regions_gives_up_whole_frames_and_every_slot_comes_back(start_daemon, frames):
    camera = camera_table("top", frames, fps=100, slots=8) + regions(left=None, mid="bright", right=None)
    extra = "[batching]\nmax_batch = 1\n[evidence]\npass_share = 1\nmax_per_second = 1000\n"
    text = settings("stub.bank", camera, deadline_ms=300, recipe=RECIPES, extra=extra)
    daemon = start_daemon(text, behaviour=Behaviour(latency_ms=20)).ready()
    # Long enough: where scoring gets slower, a frame that is begun or tried may lose its other regions.
    daemon.until(lambda: sum(v.reason == "overload" for v in daemon.reader.verdicts) > 600)
    daemon.behave(Behaviour(fault="die"))
    daemon.until(lambda: any(v.reason == "scoring_lost" for v in daemon.reader.verdicts))
    daemon.behave(Behaviour(latency_ms=20))
    before = len(daemon.reader.verdicts)
    daemon.until(lambda: any(v.evaluation == "pass" for v in daemon.reader.verdicts[before:]))
    assert daemon.stop() == 0
    counts_of(daemon)
    of_frame: dict[object, list[str]] = {}
    for verdict in daemon.reader.verdicts:
        of_frame.setdefault((verdict.frame_generation, verdict.frame_seq), []).append(verdict.reason)
    assert {len(reasons) for reasons in of_frame.values()} == {3}
    shed = [reasons for reasons in of_frame.values() if "overload" in reasons]
    assert sum(set(reasons) == {"overload"} for reasons in shed) >= 0.9 * len(shed) > 0
    saved = [
        read_record(file.parent).verdict for file in daemon.folder.glob("state/evidence/**/evidence.json")
    ]
    assert {verdict.region for verdict in saved} == {"left", "mid", "right"}


def test_recipes_of_the_store_a_shadow_and_golden_parts_know_regions(start_daemon, frames):
    golden = """
[golden]
grace_minutes = 60
[[golden.parts]]
name = "dark"
recipe = "b"
expect = "pass"
cameras = ["top/left"]
[[golden.parts]]
name = "light"
recipe = "b"
expect = "fail"
cameras = ["top/right"]
"""
    camera = camera_table("top", frames, fps=40, slots=32) + regions(left=None, mid=None, right=None)
    daemon = start_daemon(settings("stub.bank", camera, deadline_ms=3000, extra=golden)).ready()
    state = daemon.folder / "state"
    add_recipe(state, "a", 1, {"top": 0.5})
    refused = ask(daemon, RecipeAction.PREPARE, "a")
    assert "does not say what judges top/left, top/mid, top/right" in refused.detail
    add_recipe(state, "b", 2, {"top/left": 0.3, "top/mid": 0.4, "top/right": 0.3})
    begin_shadow(daemon, "b")
    daemon.until(lambda: len(daemon.reader.shadows) > 40)
    for shadow in daemon.reader.shadows:
        assert shadow.threshold == {"left": 0.3, "mid": 0.4, "right": 0.3}[shadow.region]
        assert shadow.score == shadow.verdict_score == pytest.approx(GREY[shadow.region] / 255, abs=0.05)
    prepare(daemon, "b")
    assert isinstance(ask(daemon, RecipeAction.ACTIVATE, "b"), RecipeAck)
    with GoldenAsker(f"ipc://{daemon.runtime_dir}/control.sock", who="kim") as asker:
        assert asker.ask(GoldenAction.BEGIN).to_show[0].cameras == ["top/left"]
        for shown, part in enumerate(("dark", "light"), 1):
            asker.ask(GoldenAction.SHOW, part=part)
            daemon.until(lambda shown=shown: asker.ask(GoldenAction.STATUS).shown == shown)
        daemon.until(lambda: asker.ask(GoldenAction.STATUS).outcome is not None)
        assert asker.ask(GoldenAction.STATUS).outcome is GoldenOutcome.PASSED
    shown = len(daemon.reader.verdicts)
    daemon.until(lambda: len(daemon.reader.verdicts) >= shown + 6)
    assert daemon.stop() == 0
    counts_of(daemon)
    shown = [(v.frame_seq, v.region) for v in daemon.reader.verdicts if v.reason == "golden"]
    assert Counter(region for _, region in shown) == {"left": 2, "mid": 2, "right": 2}
    judged = {(v.region, str(v.evaluation)) for v in daemon.reader.verdicts if v.recipe == "b" and v.score}
    assert judged == {("left", "pass"), ("mid", "fail"), ("right", "fail")}


def test_a_golden_part_proves_its_recipe_though_another_judges_the_frames_other_regions(start_daemon, frames):
    golden = """
[golden]
grace_minutes = 0
[[golden.parts]]
name = "dark"
recipe = "cell"
expect = "pass"
"""
    camera = camera_table("top", frames, fps=40, slots=32) + regions(left=None, right="bright")
    text = settings("stub.bank", camera, deadline_ms=3000, recipe=f"threshold = 0.3\n{RECIPES}", extra=golden)
    daemon = start_daemon(text).ready()
    with GoldenAsker(f"ipc://{daemon.runtime_dir}/control.sock", who="kim") as asker:
        assert asker.ask(GoldenAction.BEGIN).to_show[0].cameras == ["top/left"]
        asker.ask(GoldenAction.SHOW, part="dark")
        daemon.until(lambda: asker.ask(GoldenAction.STATUS).shown)
        assert asker.ask(GoldenAction.STATUS).last.problems == []
        daemon.until(lambda: asker.ask(GoldenAction.STATUS).outcome is GoldenOutcome.PASSED)
    daemon.until(lambda: any(v.region == "left" and v.score for v in daemon.reader.verdicts))


def test_the_real_scorer_sees_the_region_and_nothing_else_and_explain_gives_its_score_again(
    start_real_daemon, bank_file, tmp_path, capsys
):
    good, bad = cells(defective=False)[1], cells(defective=True)[0]
    picture = np.random.default_rng(2).integers(0, 256, (340, 700, 3), np.uint8)
    places = {"good": (20, 30), "bad": (360, 10)}
    for cell, (left, top) in zip((good, bad), places.values(), strict=True):
        picture[top : top + 300, left : left + 300] = cv2.imread(str(cell))
    (tmp_path / "line").mkdir()
    cv2.imwrite(str(tmp_path / "line" / "1.png"), picture)
    camera = camera_table("top", tmp_path / "line", fps=5)
    for name, (left, top) in places.items():
        place = f"{{left = {left}, top = {top}, width = 300, height = 300}}"
        camera += f'[[cameras.regions]]\nname = "{name}"\nrectangle = {place}\n'
    daemon = start_real_daemon(settings(bank_file, camera, extra="[evidence]\nmax_per_second = 50\n"))
    kept: list[Path] = []  # on a busy host, that of a later frame
    daemon.until(lambda: kept.extend(daemon.folder.rglob("*_fail/evidence.json")) or kept, 60)
    assert daemon.stop() == 0
    scores = {verdict.region: verdict.score for verdict in daemon.reader.verdicts if verdict.score}
    alone = Scorer.load(bank_file, "cpu").score([cv2.imread(str(cell)) for cell in (good, bad)])
    expected = {"good": alone[0].image_score, "bad": alone[1].image_score}
    assert scores == pytest.approx(expected, rel=1e-4)
    assert cli.main(["explain", str(kept[0].parent), "--config", str(daemon.file), "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert "test/line/top/bad" in told
    assert "the same score" in told


def test_what_is_hot_is_shown_where_it_is_though_the_bank_looks_at_a_part_alone(
    start_real_daemon, bank_file, tmp_path, capsys
):
    """A bank of right halves, in a region of the camera: on the bus, in previews, evidence and explain."""
    bank = read_bank(bank_file)
    half = msgspec.structs.replace(bank.manifest.patch_options, region=(0.5, 0.0, 0.5, 1.0))
    write_bank(
        tmp_path / "half.bank", msgspec.structs.replace(bank.manifest, patch_options=half), bank.tensors
    )
    picture = np.random.default_rng(2).integers(0, 256, (340, 700, 3), np.uint8)
    picture[10:310, 360:660] = cv2.imread(str(cells(defective=True)[0]))
    cv2.circle(picture, (360 + 225, 10 + 60), 20, (255, 255, 255), -1)
    (tmp_path / "line").mkdir()
    cv2.imwrite(str(tmp_path / "line" / "1.png"), picture)
    place = "{left = 360, top = 10, width = 300, height = 300}"
    camera = camera_table("top", tmp_path / "line", fps=5)
    camera += f'[[cameras.regions]]\nname = "part"\nrectangle = {place}\n'
    extra = "[preview]\nwidth_px = 100\n[evidence]\nmax_per_second = 50\n"
    daemon = start_real_daemon(settings(tmp_path / "half.bank", camera, extra=extra))
    heats: list[Preview] = []
    maps: list[Heatmap] = []

    def look() -> bool:
        heats.extend(p for p in [previews.receive(0.02)] if p is not None and p.header.heat is not None)
        if maps_socket.poll(20):
            maps.append(decode(maps_socket.recv_multipart()))
        return bool(heats and maps and list(daemon.folder.rglob("evidence.json")))

    with (
        PreviewReader(f"ipc://{daemon.runtime_dir}/previews.sock", "test", "line") as previews,
        zmq.Context() as context,
        context.socket(zmq.SUB) as maps_socket,
    ):
        previews.show(["top"])
        maps_socket.subscribe(b"")
        maps_socket.connect(f"ipc://{daemon.runtime_dir}/heatmaps.sock")
        daemon.until(look, 60)
    assert daemon.stop() == 0
    header = maps[0].header
    values = np.frombuffer(maps[0].values, "<f2").reshape(header.height, header.width)
    row, column = np.unravel_index(values.argmax(), values.shape)
    where = header.rectangle
    assert where == Rectangle(510, 10, 150, 300)
    # Within a patch or two of the spot's middle.
    assert where.left + (column + 0.5) / header.width * where.width == pytest.approx(585, abs=25)
    assert where.top + (row + 0.5) / header.height * where.height == pytest.approx(70, abs=50)
    shown = heats[0].header
    assert (shown.width, shown.height, shown.rectangle) == (75, 75, Rectangle(360, 10, 300, 300))
    assert shown.heat == PreviewHeat(header.height, header.width, Rectangle(38, 0, 37, 75))
    kept = next(file.parent for file in daemon.folder.rglob("evidence.json"))
    assert read_record(kept).heatmap.rectangle == where
    assert read_record(kept).verdict.rectangle == Rectangle(360, 10, 300, 300)
    out = tmp_path / "explained.png"
    words = [str(kept), "--bank", str(tmp_path / "half.bank"), "--device", "cpu", "--out", str(out)]
    assert cli.main(["explain", *words]) == 0
    assert "the same score" in capsys.readouterr().out
    drawn = cv2.imread(str(out))[:480]
    plain, laid = drawn[:, :480].astype(int), drawn[:, -480:].astype(int)
    assert np.array_equal(plain[:, :240], laid[:, :240])  # nothing was scored there
    assert np.abs(plain - laid).max() > 50

"""What a line says of each fault of a synthetic camera; none of those frames passes where it can be found."""

from __future__ import annotations

from collections import defaultdict

from inspectd.wire import Evaluation, Refusal

FOUND = {
    "freeze": "frozen",
    "repeat": "frozen",
    "black": "black",
    "half": "partial",
    "torn": "partial",
    "clock_jump": "stale",
}
LEFT_TO_THE_BANK = ("colours", "turned")
"""A picture of its own, whole and on time; the stub that scores here knows no bank."""


def line(cameras: str, bank, window_ms: int = 250) -> str:
    return f"""
[line]
deadline_ms = 3000
[[recipes]]
name = "plate"
bank = "{bank}"
[triggers]
window_ms = {window_ms}
{cameras}
[metrics]
port = 0
[evidence]
enabled = false
"""


def camera(**more: object) -> str:
    told = {"kind": '"synthetic"', "name": '"cam"', "recipe": '"plate"', "width": 160, "height": 120}
    return "\n".join(["[[cameras]]", *(f"{key} = {value}" for key, value in {**told, **more}.items())]) + "\n"


def fault(kind: str, at_frame: int, frames: int) -> str:
    return f'[[cameras.faults]]\nkind = "{kind}"\nat_frame = {at_frame}\nframes = {frames}\n'


def command(file, text: str) -> None:
    """Whole or not at all, as everybody should write such a file."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


def test_every_fault_has_its_reason_and_good_and_defective_parts_are_told_apart(start_daemon, stub_bank):
    pictures = [*FOUND, *LEFT_TO_THE_BANK]
    planned = {kind: 10 * place for place, kind in enumerate([*pictures, "lost", "stall", "unplug"], start=1)}
    text = camera(fps=60, frames=130, defect_rate=0.3, gap_rate=0.1, reconnect_min_ms=20, reconnect_max_ms=20)
    text += "".join(fault(kind, at_frame, 4) for kind, at_frame in planned.items())
    daemon = start_daemon(line(text, stub_bank))
    daemon.until(lambda: daemon.phases() == ["ended"])
    assert daemon.stop() == 0

    verdicts = defaultdict(list)
    for verdict in daemon.reader.verdicts:
        _, number, _, *kind = verdict.source.split("/")
        verdicts[kind[0] if kind else ""].append((int(number), verdict))
    for kind, reason in FOUND.items():
        assert [number for number, _ in verdicts[kind]] == list(range(planned[kind], planned[kind] + 4))
        assert {(v.evaluation, v.reason) for _, v in verdicts[kind]} == {(Evaluation.UNDECIDABLE, reason)}
    assert set(verdicts) == {"", *pictures}
    for _, verdict in verdicts[""]:
        assert verdict.evaluation is (Evaluation.PASS if verdict.label == "good" else Evaluation.FAIL)
    assert {v.label for _, v in verdicts[""]} > {"good", "empty", "scratch"}
    gone = {n for kind in ("lost", "stall", "unplug") for n in range(planned[kind], planned[kind] + 4)}
    assert [n for n, _ in sorted((n, v.seq) for seen in verdicts.values() for n, v in seen)] == sorted(
        set(range(1, 131)) - gone
    )
    assert daemon.reader.event("camera_clock")
    assert daemon.reader.event("camera_down")
    counts = daemon.reader.event("stopped").counts
    assert counts.drops == 4  # those that were lost
    assert counts.captured == counts.verdicts + counts.drops


def test_a_camera_that_is_told_to_hang_is_replaced_and_does_not_hang_again(start_daemon, stub_bank, tmp_path):
    file = tmp_path / "faults.toml"
    text = camera(fps=20, fault_file=f'"{file}"', stall_timeout_ms=500)
    daemon = start_daemon(line(text, stub_bank)).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 5)
    command(file, '[[faults]]\nkind = "hang"\nframes = 100000\n')
    daemon.until(lambda: any(v.frame_generation == 2 for v in daemon.reader.verdicts))
    seen = len(daemon.reader.verdicts)
    daemon.until(lambda: len(daemon.reader.verdicts) > seen + 10)
    assert daemon.reader.event("camera_down")
    assert {v.evaluation for v in daemon.reader.verdicts} == {Evaluation.PASS}


def test_a_part_whose_frame_did_not_come_is_never_passed_with_another(
    start_daemon, stub_bank, plant, tmp_path
):
    file = tmp_path / "faults.toml"
    text = camera(
        fps=20, mode='"triggered"', fault_file=f'"{file}"', reconnect_min_ms=20, reconnect_max_ms=20
    )
    daemon = start_daemon(line(text, stub_bank)).ready()
    sender = plant(daemon)
    told = 0

    def tell(text: str) -> None:
        nonlocal told
        told += 1
        command(file, text)
        daemon.until(lambda: daemon.log.read_text().count("faults_commanded") == told)

    for kind, reason in {"lost": "missed_trigger", "stall": "missed_trigger", "freeze": "frozen"}.items():
        tell(f'[[faults]]\nkind = "{kind}"\nframes = 1000\n')
        sender.trigger(f"during {kind}")
        during = sender.part(f"during {kind}")
        assert (during.evaluation, during.reason) == (Evaluation.UNDECIDABLE, reason)
        tell("")
        sender.trigger(f"after {kind}")
        assert sender.part(f"after {kind}").evaluation is Evaluation.PASS
    tell('[[faults]]\nkind = "unplug"\nframes = 1000\n')
    daemon.until(lambda: daemon.phases() == ["down"])
    assert isinstance(sender.trigger("unplugged"), Refusal)
    tell("")
    daemon.until(lambda: daemon.phases() == ["up"])
    sender.trigger("plugged in")
    assert sender.part("plugged in").evaluation is Evaluation.PASS


def test_a_part_whose_frame_was_lost_does_not_get_the_one_after_it(start_daemon, stub_bank, plant, tmp_path):
    """The next one comes within the window, and shows whatever is in front of the camera by then."""
    file = tmp_path / "faults.toml"
    text = camera(fps=20, mode='"triggered"', fault_file=f'"{file}"')
    daemon = start_daemon(line(text, stub_bank, window_ms=1500)).ready()
    sender = plant(daemon)
    command(file, '[[faults]]\nkind = "lost"\nframes = 12\n')
    daemon.until(lambda: "faults_commanded" in daemon.log.read_text())
    sender.trigger("lost")
    assert sender.part("lost").reason == "missed_trigger"
    sender.trigger("after")
    assert sender.part("after").evaluation is Evaluation.PASS

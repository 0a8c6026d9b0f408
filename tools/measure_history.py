"""How fast the page's history fills and answers, with so many verdicts in it.

Usage: measure_history.py FOLDER [--rows 1000000] [--questions 400]

Fills a file in FOLDER as the page does, unless there is one of that many rows, with 90 days of a line of four
cameras and six recipes; then asks for pages of 100 rows by random filters, and for trends. FOLDER is left.
"""

import argparse
import random
import sqlite3
import time
from collections import defaultdict
from pathlib import Path

import msgspec

from inspectd.client import Cursor, Evaluation, Position, Reason, Verdict
from inspectd.page.history import queries
from inspectd.page.history.filters import Filter
from inspectd.page.history.schema import FILE, connect_to_read
from inspectd.page.history.store import Batch, HistoryStore
from inspectd.page.history.trends import trends

_DAYS_MS = 90 * 86_400_000
_START_MS = 1_763_924_400_000
_EPOCH_ROWS = 200_000
_CAMERAS = ("top", "side", "left", "right")
_RECIPES = ("cells", "wafers", "plates", "tiles", "caps", "rare")
_BATCH = 500
_UNDECIDABLE = (Reason.DEADLINE, Reason.BLACK, Reason.QUALITY_FOCUS, Reason.OVERLOAD, Reason.MISSED_TRIGGER)


def verdict(number: int, at_ms: int, chance: random.Random) -> Verdict:
    epoch, seq = _START_MS + number // _EPOCH_ROWS, number % _EPOCH_ROWS + 1
    camera = _CAMERAS[number % 4]
    recipe = "rare" if chance.random() < 0.0001 else _RECIPES[number // 50_000 % 5]
    is_decided = chance.random() > 0.005
    score = chance.lognormvariate(0.0, 0.4) if is_decided else None
    evaluation, reason = Evaluation.PASS, Reason.WITHIN_THRESHOLD
    if score is None:
        weights = (1000, 100, 50, 10, 1)
        evaluation, reason = Evaluation.UNDECIDABLE, chance.choices(_UNDECIDABLE, weights)[0]
    elif score > 2.5:
        evaluation, reason = Evaluation.FAIL, Reason.ABOVE_THRESHOLD
    return Verdict(
        plant="demo", line="line1", camera=camera, epoch=epoch, seq=seq, inspection_id=number,
        frame_generation=1, frame_seq=number, evaluation=evaluation, reason=reason, score=score,
        threshold=2.5, captured_utc_ns=at_ms * 1_000_000 - 31_000_000,
        decided_utc_ns=at_ms * 1_000_000 + number % 1_000_000,
        latency_ms=chance.uniform(15, 60), deadline_ms=500.0, late=False, recipe=recipe,
        bank_sha256=f"{recipe:0<64}", dropped_before=0, part_id=f"P{number // 4:09d}",
        trigger_id=f"T{number // 4:09d}", frame_sha256=f"{chance.getrandbits(256):064x}",
        recipe_sha256=f"{recipe:1<64}", software="0.1.0", triggered_utc_ns=at_ms * 1_000_000 - 31_000_000,
    )  # fmt: skip


def fill(path: Path, rows: int) -> None:
    chance = random.Random(1)
    store = HistoryStore(path)
    spent = 0.0
    for first in range(0, rows, _BATCH):
        items = [
            verdict(number, _START_MS + number * _DAYS_MS // rows, chance)
            for number in range(first, min(rows, first + _BATCH))
        ]
        began = time.perf_counter()
        place = Position(items[-1].epoch, items[-1].seq)
        store.write(Batch(items, Cursor("demo", "line1", place)))
        spent += time.perf_counter() - began
    print(f"filled {rows} in {spent:.0f} s of writing: {rows / spent:.0f} a second")
    store.close()


def random_filter(chance: random.Random, rows: int, first_ms: int, end_ms: int) -> tuple[str, Filter]:
    every = end_ms - first_ms
    span = chance.choice([3_600_000, 86_400_000, every // 3, every])
    from_ms = first_ms + chance.randrange(0, every - span + 1)
    low = chance.choice([0.0, 1.0, 2.5, 3.5])
    parts: dict[str, object] = {
        "camera": chance.choice(_CAMERAS), "reason": chance.choice([*_UNDECIDABLE, Reason.ABOVE_THRESHOLD]),
        "recipe": chance.choice(_RECIPES), "part_id": f"P{chance.randrange(rows // 4):09d}",
        "score": (low, low + chance.choice([0.01, 0.5, 100.0])), "verdict": chance.choice(list(Evaluation)),
    }  # fmt: skip
    names = chance.sample(sorted(parts), chance.choice([0, 1, 1, 2, 2, 3]))
    wanted = Filter(from_ms=from_ms, to_ms=from_ms + span)
    for name in names:
        value = parts[name]
        if name == "score" and isinstance(value, tuple):
            wanted = msgspec.structs.replace(wanted, score_min=value[0], score_max=value[1])
        else:
            wanted = msgspec.structs.replace(wanted, **{name: str(value)})
    return "+".join(sorted(names)) or "time alone", wanted


def ask(path: Path, rows: int, questions: int) -> None:
    connection = connect_to_read(path)
    first_ms, last_ms = connection.execute("SELECT min(decided_ms), max(decided_ms) FROM verdict").fetchone()
    end_ms = last_ms + 1
    print(f"over {(end_ms - first_ms) / 86_400_000:.1f} days")
    chance = random.Random(3)
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(questions):
        name, wanted = random_filter(chance, rows, first_ms, end_ms)
        before, pages = None, chance.choice([1, 1, 3])
        for _ in range(pages):
            began = time.perf_counter()
            found, before = queries.page(connection, wanted, before, 100)
            took = time.perf_counter() - began
            times["any"].append(took)
            times[name].append(took)
            if before is None:
                break
            del found
    for name, spent in sorted(times.items(), key=lambda item: -_share(item[1], 0.95)):
        print(
            f"{name:32} {len(spent):5} pages  p50 {1e3 * _share(spent, 0.5):7.1f} ms  "
            f"p95 {1e3 * _share(spent, 0.95):7.1f} ms  max {1e3 * max(spent):7.1f} ms"
        )
    for days in (1, 7, 90):
        began = time.perf_counter()
        found_trends = trends(connection, end_ms - days * 86_400_000, end_ms)
        took_ms = 1e3 * (time.perf_counter() - began)
        print(f"trends of {days} days: {took_ms:.0f} ms, {len(found_trends['t'])} points")


def _share(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=400)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.folder / FILE
    if not path.exists():
        fill(path, arguments.rows)
    with sqlite3.connect(path) as connection:
        count = connection.execute("SELECT count(*) FROM verdict").fetchone()[0]
    size = path.stat().st_size
    print(f"{count} verdicts, {size / 1e6:.0f} MB, {size / count:.0f} bytes each")
    ask(path, count, arguments.questions)


if __name__ == "__main__":
    main()

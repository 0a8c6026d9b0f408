from collections import Counter

import numpy as np

from inspectd.evaluation.paste_plan import CONTRASTS, plan_pastes
from inspectd.evaluation.synthetic import KINDS


def test_kinds_contrasts_sizes_places_and_images_are_balanced() -> None:
    planned = plan_pastes(120, 40, (3.0, 75.0), seed=1)
    assert Counter((p.kind, p.contrast) for p in planned) == {(k, c): 120 for k in KINDS for c in CONTRASTS}
    assert set(Counter(p.image for p in planned).values()) == {45}
    for start in range(0, len(planned), 120):
        group = planned[start : start + 120]
        for values in (
            [np.log(p.size_pixels / 3) / np.log(25) for p in group],
            [p.across for p in group],
            [p.down for p in group],
        ):
            assert np.allclose(np.histogram(values, 6, (0, 1))[0], 20, atol=5)
        places = np.histogram2d([p.across for p in group], [p.down for p in group], 4, ((0, 1), (0, 1)))[0]
        assert places.min() >= 4


def test_a_seed_gives_the_same_plan() -> None:
    assert plan_pastes(30, 7, (3, 70), 5) == plan_pastes(30, 7, (3, 70), 5)
    assert plan_pastes(30, 7, (3, 70), 5) != plan_pastes(30, 7, (3, 70), 6)


def test_centres_lie_in_scored_cells_only() -> None:
    scored = np.zeros((8, 8), dtype=bool)
    scored[2:4, 5] = True
    planned = plan_pastes(200, 3, (3, 70), 0, kinds=("spot",), contrasts=(0.2,), scored=scored)
    assert len(planned) == 200
    assert all(5 / 8 <= p.across < 6 / 8 and 2 / 8 <= p.down < 4 / 8 for p in planned)
    sizes = [np.log(p.size_pixels / 3) / np.log(70 / 3) for p in planned]
    assert np.allclose(np.histogram(sizes, 5, (0, 1))[0], 40, atol=8)

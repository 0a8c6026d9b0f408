import subprocess
import sys

import numpy as np

from inspectd.bench.synthetic import Synthetic, synthetic_pipeline
from inspectd.model.options import PatchCoreOptions

WITHOUT = """
import sys
for name in ("msgspec", "safetensors", "timm", "rich", "zmq", "sklearn", "scipy", "faiss", "openvino"):
    sys.modules[name] = None
import numpy as np
from inspectd.bench.synthetic import Synthetic, synthetic_pipeline
spec = Synthetic("resnet18", None, "random", "fine", 64, 64, rows=50, dims=100)
pipeline = synthetic_pipeline(spec, "cpu")
(answer,) = pipeline.score([np.zeros((80, 70, 3), np.uint8)])
print(pipeline.detector.rows, pipeline.detector.dims, answer.heatmap.shape)
"""


def test_it_runs_with_torch_torchvision_and_numpy_alone() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "50 100 (8, 8)\n"


def test_the_same_seed_makes_the_same_pipeline() -> None:
    spec = Synthetic(
        "resnet18", ("layer2",), "random", height=64, width=64, rows=30, options=PatchCoreOptions()
    )
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    first, again = (synthetic_pipeline(spec, "cpu").score([frame])[0].image_score for _ in range(2))
    assert first == again

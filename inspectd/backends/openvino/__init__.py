"""The CPU backend by OpenVINO, and the only place that imports it.

OpenVINO reports its imports and conversions to its maker over the internet, from forks of the process, unless
its package for that is missing. A line reports nothing to anybody: here that package is always missing.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

"""The CPU backend by OpenVINO, and the only place that imports it.

Importing OpenVINO, and each conversion by it, reports to its maker over the internet, from forks of this process,
unless its package for that is missing. A line tells nobody what it does: here that package is always missing.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

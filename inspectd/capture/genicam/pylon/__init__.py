"""Cameras of Basler, USB3 and GigE, and pylon's own emulated ones, by Basler's runtime (package pypylon)."""

"""Cameras that a vendor's GenTL producer reaches."""

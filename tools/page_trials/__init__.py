"""Trials of the operator's page that take too long for a test: real lines, real pages, real browsers."""

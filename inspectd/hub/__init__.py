"""`inspectd hub`: all lines of a plant in one place, read from its servers. `docs/hub.md` is its page."""

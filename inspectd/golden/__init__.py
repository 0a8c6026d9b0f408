"""Golden parts: when a check with them is due, how one goes, and its record. All but the record is pure."""

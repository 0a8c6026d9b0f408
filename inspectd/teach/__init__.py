"""People's answers about parts become better banks, safely: cases, candidates, reports, signatures."""

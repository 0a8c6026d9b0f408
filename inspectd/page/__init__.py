"""The operator's page: a web server beside a line, and an ordinary client of its bus.

If it hangs or dies, no verdict knows. What it sends to the line are requests for recipes and golden checks;
it never sends a trigger, so nothing of it can open a gate.
"""

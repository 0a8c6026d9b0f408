"""Gateways: programs of their own that bring a line to what a plant has, as ordinary clients of its bus.

Nothing that a gateway does can make a pass: it shows one only for the `part/1` that answers the very
acknowledgement of the plant's trigger, in time by the gateway's own clock, while the line is alive.

`handshake` and `parts` hold no socket and no clock and serve every fieldbus; `line_link` is the side of the
bus; a folder for each protocol is the plant's side.
"""

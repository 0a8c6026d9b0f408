"""The OPC UA gateway: a line as a vision system of OPC 40100-1, with results of OPC 40001-101.

`vision` holds no socket and no clock: the states, and the parts under way. `line_side` is the bus, `guarded`
what asyncua needs to be given to a plant's network, `nodes` and `methods` what clients see and call.
"""

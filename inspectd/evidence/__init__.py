"""Evidence: what a part looked like and how it was judged, kept on the disk for later.

`stage` lives in the main process and decides what is kept; `worker` is a process of its own that copies
frames out of the rings and writes them. Nothing here may hold up a verdict: see `ipc.slot_holds`.
"""

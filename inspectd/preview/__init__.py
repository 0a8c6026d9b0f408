"""Previews: small pictures of what was judged, for people who look at a line, while somebody does.

`stage` lives in the main process and decides of what one is made; `worker` is a process of its own that reads
frames in their rings. Nothing here may hold up a verdict.
"""

"""GenICam cameras with GigE Vision, through Aravis. The capture process of such a camera alone loads it."""

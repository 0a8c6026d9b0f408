"""One contract for every kind of camera: each part is judged by its own frame, or not at all."""

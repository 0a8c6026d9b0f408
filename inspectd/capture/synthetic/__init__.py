"""A line that exists in numbers alone: parts on a belt, their defects, and what goes wrong with a camera."""

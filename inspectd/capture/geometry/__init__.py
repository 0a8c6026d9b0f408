"""A camera's picture, turned and straightened before anything looks at it."""

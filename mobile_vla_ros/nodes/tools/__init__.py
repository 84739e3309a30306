"""Small nodes that commands start."""

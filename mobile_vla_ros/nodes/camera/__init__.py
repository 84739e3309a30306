"""What belongs to the camera's program alone."""

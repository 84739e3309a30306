"""What belongs to the inference node: its model's process, its parameters, its overlay."""

"""What belongs to teleop_node: its way to the recorder, and its status line."""

"""What belongs to the recorder node: the process that writes, and what is said to it."""

"""What belongs to sim_node."""

"""What belongs to operator_node: the stick's topics, the stop, what is heard, what is ordered."""

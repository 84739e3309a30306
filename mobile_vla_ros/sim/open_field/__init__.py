"""The open field: several coloured things, obstacles, a person who crosses, targets by words."""

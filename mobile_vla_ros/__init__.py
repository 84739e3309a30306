"""Drives a mobile robot over ROS 2 with a Kosmos-2 + LSTM vision-language-action policy."""

__version__ = "0.1.0"

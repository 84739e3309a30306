"""The policy behind a socket: wire format, server, link. Neither torch nor ROS is loaded."""

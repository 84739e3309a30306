"""Figures and their style, shared by several rooms: matplotlib only, no torch, no ROS."""

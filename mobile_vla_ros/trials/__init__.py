"""Field trials: the plan, the log, and the report. Plain Python, no torch, no ROS."""

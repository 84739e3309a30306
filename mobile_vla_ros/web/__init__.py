"""The operator's page: what it says, who may drive, and its server. Neither torch nor ROS."""

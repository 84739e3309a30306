"""Intervals, tests and similarity measures that several rooms share: numpy and scipy only."""

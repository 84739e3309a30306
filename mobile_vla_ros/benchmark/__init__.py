"""Measuring speed: single frames through the policy, and whole nodes from outside."""

"""Decide when which venue is polled: evenly, by weight, within the quota."""

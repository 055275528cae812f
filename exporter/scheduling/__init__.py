"""Decide when which venue is polled: evenly, fairly, within the quota."""

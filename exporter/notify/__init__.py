"""Notify people of incidents: what is sent, in which words, and that it is really delivered."""

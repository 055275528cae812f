"""Turn file, environment and flags into frozen settings, naming every fault with its place."""

"""Remember: the state of venues and brands, and the journal of events."""

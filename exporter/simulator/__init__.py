"""Be a Clopos on loopback that can be told to misbehave."""

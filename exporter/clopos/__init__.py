"""Ask Clopos: HTTP, login, paging, quota, and wire shape to model."""

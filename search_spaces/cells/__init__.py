"""Search-time cells: the plain reference, the fast one, and those that compute a part of it."""

"""Studies: every search and every transfer that a study file asks for."""

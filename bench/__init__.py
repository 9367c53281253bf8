"""A benchmark that anyone can run: what a call costs here, and in the obvious alternatives."""

"""Use cases of a call, in the order of its life."""

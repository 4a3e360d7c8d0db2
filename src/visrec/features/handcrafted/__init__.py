"""Descriptors made by hand, one file a family: no network, no weights, a baseline for whatever is learned."""

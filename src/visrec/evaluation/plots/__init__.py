"""Plots as geometry: each module lays out one kind of plot, `drawing` has what all are made of."""

"""Evaluation: ranks of held-out items, metrics of them, intervals, reports."""

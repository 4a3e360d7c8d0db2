"""The doctor: what is wrong with a data set, what it means, and what mends it."""

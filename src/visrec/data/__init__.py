"""Data: ids, interactions, the catalogue of items and images, splits, named data sets. No torch in here."""

"""The nearest items of many: exact and approximate top-k over item vectors."""

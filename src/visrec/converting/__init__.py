"""Whole folders of other people's programs made into data sets, features and models of ours."""

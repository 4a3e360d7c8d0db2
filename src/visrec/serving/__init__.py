"""The web page and the REST service of a run."""

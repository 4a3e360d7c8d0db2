"""The service: a run's pages and its REST interface."""

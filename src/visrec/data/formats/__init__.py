"""Files of other people's programs, one module a format."""

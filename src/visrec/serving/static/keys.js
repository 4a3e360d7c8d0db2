// Keys on every page.

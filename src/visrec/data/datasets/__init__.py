"""Named data sets, one module or package each."""

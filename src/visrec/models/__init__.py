"""The models, one file a paper. A new one is one file here and one line in `visrec.registry`."""

"""Downloads: pictures of addresses that a data set lists (images.py), published files (remote_files.py)."""

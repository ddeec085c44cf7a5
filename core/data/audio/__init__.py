"""Sound recordings: files, features, what is made up where there are none."""

"""Images: files, what is made up where there are none, views for training."""

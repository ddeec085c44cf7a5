"""Several searches in order, each begun from the best of the one before: what `stages:` in a file asks for."""

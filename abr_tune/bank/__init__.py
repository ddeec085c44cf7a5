"""Banks: full-length learning curves of configurations drawn from a space, recorded once and replayed at will."""

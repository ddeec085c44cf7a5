"""From a YAML file to a plan: reading, checking, the searched space."""

"""What would keep a search from working here, and what dead runs left behind."""

"""The training loop, its phases and schedules, and checkpoints."""

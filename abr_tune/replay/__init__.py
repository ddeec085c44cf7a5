"""Searches measured on recorded curves, in simulated time: nothing is trained, everything else is real."""

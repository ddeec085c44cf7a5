"""An ideal reader of simulated recordings: Bayes' rule under the simulator's own law."""

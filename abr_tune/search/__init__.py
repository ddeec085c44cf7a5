"""Optuna study and Ray Tune trials: asking, watching, stopping, telling."""

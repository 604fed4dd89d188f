"""Hyperparameter tuning: training jobs, one for each set of values that a search proposes."""

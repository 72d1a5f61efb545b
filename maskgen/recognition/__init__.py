"""Aligned crops and the cache of observed faces, for training and evaluation."""

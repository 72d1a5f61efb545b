"""Masks drawn on the mean head."""

"""Spatial puzzles."""

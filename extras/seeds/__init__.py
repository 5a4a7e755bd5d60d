"""Trainings that differ in nothing but their seeds."""

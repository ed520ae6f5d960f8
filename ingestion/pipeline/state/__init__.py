"""Runs, collections and the transitions of rows that every step of the pipeline shares."""

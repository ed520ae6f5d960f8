"""Waiting chunks → records in the buffer: what the GPU worker does."""

"""Figures and alerts for staff: the state of everything, and what an ingestion would bring. Changes no row."""

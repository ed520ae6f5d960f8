"""Question and passages → an answer with citations, generated or extracted."""

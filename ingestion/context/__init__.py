"""A chunk and its document → a sentence that places it there, by a language model."""

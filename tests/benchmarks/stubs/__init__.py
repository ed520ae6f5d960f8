"""An application that, installed before the others, puts a stub in the embedder's place."""

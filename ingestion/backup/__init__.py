"""All that cannot be made again, in one file: rows, uploads, vectors. ``save`` writes it, ``load`` reads it back."""

"""One document → Chunk rows: fetch, extract, cut, compare with what is stored."""

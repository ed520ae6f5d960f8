"""The words channel: BM25 made for documentation, beside the vectors of the model.

``terms`` cuts a text into terms, ``weights`` makes a sparse vector of a chunk and of a question whose inner product is
the BM25 score, ``language`` names the language of a text. What a chunk stores depends on its own text only; how rare a
term is counts on the question's side, so that pages may come and go without a chunk being written again.
"""

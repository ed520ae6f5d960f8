"""The words channel: BM25 made for documentation, beside the vectors of the model.

``terms`` cuts a text into terms, ``weights`` makes a sparse vector of a chunk and of a question whose inner product is
the BM25 score, ``language`` names the language of a text. What a chunk stores depends on its own text only; how rare a
term is counts on the question's side, so that pages may come and go without a chunk being written again.

Milvus has a BM25 of its own from version 2.5 on. With its English analyzer nDCG@10 is .752 on 247 questions on Django's
documentation (.917 on those of code and settings) and .823 on 205 on OpenShift's; with its standard analyzer .748
(.936) and .850; with these terms .791 (.971) and .867. These also serve Milvus 2.4, and the language may differ from
page to page.
"""

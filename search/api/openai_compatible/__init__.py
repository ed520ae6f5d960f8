"""The site as a language model that OpenAI's clients can talk to, under /v1/.

``views`` answer /v1/models, /v1/chat/completions and /v1/embeddings; ``bodies`` reads what clients send, ``catalogue``
names what they may choose from, ``completion`` writes an answer as text with links, ``errors`` says what went wrong in
the form that these clients show. A conversation is not kept here: clients send all of it with every question.
"""

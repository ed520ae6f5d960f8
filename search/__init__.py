"""From a question to an answer, as numbered data flow.

1. ``access`` says who asks, and counts it. ``forms`` reads a question from a request or a command line
   (``questions.Question``). Searches and answers wait in ``access.fair_queue`` where many ask at once.
2. ``retrieval`` finds out where to search (``selection``: sources, versions, paths), corrects words that no document
   has, embeds the question (in this process or by the embedding worker), asks Milvus, fuses the channels and joins the
   hits with the rows: what the database does not confirm is never shown. Copies are folded into one passage.
3. ``answering`` bounds and fences the passages for the language model and streams what it says of them. Without a
   language model it takes the sentences that answer best. Generated text is cleaned, its citations are checked, and
   what the passages do not bear out is marked. A question that the passages do not speak of is refused.
4. ``api`` sends the answer's events to programs, ``management`` prints. ``pages`` renders all HTML, also that of an
   answer while it is written, for the search page and for the widget on other sites. What a reader was answered is kept
   for a while (``models``): for follow-ups, links, ratings, and for staff (``admin``), who see what is missing.

``evaluation`` measures retrieval on questions with known answers, and finds what readers ask in vain. Nothing here
needs the workers; Redis keeps answers for who asks the same, and tells the other processes when Milvus does not answer.
Crawled and generated text is hostile: it leaves as plain text, or through the one sanitiser (``pages.answer_html``).

Glossary, besides that of ``ingestion``:

question      what a reader asks, with its options (source, limit, mode)
mode          how passages are found: hybrid, dense or sparse
hit           a key with its score, as Milvus returns it
passage       a chunk that was found, with title and address from the database; it may have grown by its neighbours
excerpt       what was found of a passage that has grown
copy          another document that says the same as a passage, or says it of another version
part          one of the questions that a question of several consists of
exchange      a question of a conversation and its answer; a follow-up is condensed so that it stands alone
citation      the number of a passage in an answer, and what a browser is told of that passage
extract       sentences of one passage that answer without a language model
event         one step of an answer: found, token, notice, unsupported, discard, timed, stored, done
inert         of Markdown: nothing in it is fetched unless a reader clicks
notice        a sentence about an answer: that the model thinks, that it was cut short, that it is an earlier one
draft         what a language model has written of one answer so far
unsupported   said of a sentence with numbers or names that its passages do not have
scope         what the passages speak of; a question outside is refused
signature     what two questions must have in common to share an answer
stage         a timed part of answering: parse, cache, embed, search, fuse, rows, rerank, context, first_token, generate
caller        whoever asks, with what it may do and see: a key, a user or an address
client        whoever asks, as far as bounds are concerned: a caller's name, or before that is known an address
ticket        a caller's right to a search or to a language model's answer, as soon as it is its turn
reader        whoever asks on the page, told apart by a random word in the browser's session
result        a passage that a search shows, grouped with others of its page
stored        of an answer: kept as a reader was given it, with its passages as they were
conversation  questions of one reader that follow on one another; each is a turn
gap           questions about one thing that were answered badly
widget        the part of the search page that other sites put on their pages
"""

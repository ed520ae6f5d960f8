"""From a source to the index, as numbered data flow.

1. ``admin``, ``manage.py ingest`` or the schedule writes Source, Run and Document rows (``models``).
2. ``pipeline.dispatcher`` starts what may start now: fair between sources, bounded by what is in flight.
3. A CPU worker lists the source (``sources``: a module per kind), fetches (``fetching``: politely, and never into our
   own network), extracts (``extraction``: a module or package per format) and cuts (``chunking``). The step
   ``pipeline.process`` compares the result with the stored chunks: new ones wait for the embedder, unchanged ones keep
   their vectors, vanished ones are to be removed. Where a language model is configured for it, new chunks first get a
   sentence of context (``context``, ``pipeline.describe``), which is embedded and searched and never shown.
4. The GPU worker, one per device (``worker_signals``), claims waiting chunks of many documents, embeds them
   (``embedding``), pushes records onto the Redis list (``buffer``) and reports how it does (``coordination``). Where
   QUERY_EMBEDDER says so, it embeds the questions of web processes between its batches, too.
5. Beat's drain, in a worker of its own (``pipeline.index``), claims records in bulk, weighs their words (``words``),
   upserts them into Milvus (``vector_store``), marks the rows indexed, and only then forgets the records. Vanished
   chunks leave Milvus first, then the rows. Once in a while it counts how many chunks hold each term.
6. When the GPU worker has another model than the index, a second collection is filled from the rows while the first
   one is searched, and takes its place when it is complete. An audit compares all keys with the rows and repairs both.

The database is the truth: Redis can be wiped at any moment and everything still ends. ``tasks`` are thin Celery
wrappers around ``pipeline``; messages carry ids only.

Glossary; each word has this one meaning in names, comments and messages:

source        where documents come from: a row with a kind (website, sitemap, github, …) and a target
target        what a source points at, as a person writes it: an address, a repository, a folder
run           one pass over a source, from its listing to its last document
listing       the addresses of the documents that a source holds now
document      one page or file of a source, identified by its address (a URL or a path)
duplicate     another address of a document that is stored already; it has no chunks of its own
missing       of a document: its source seems to hold it no more; after confirmation it is gone
page          a fetched body with its media type, before extraction
chunk         a piece of a document's Markdown within the token budget: what is embedded and found
key           the deterministic id of a chunk in Milvus
context       a sentence by a language model that places a chunk in its document; to describe a chunk: to ask for it
term          what a text is found by: a word's stem, or a name in code or a part of one; the index holds its hash
record        a chunk with its vectors, packed for the buffer
buffer        the Redis list of records between the GPU worker and Milvus
drain         the job that moves records from the buffer into Milvus
claim         to take rows or records for one's own work, so that they can be given back; also what was taken
lease         how long a claim or a lock lasts without renewal
lock          the right of one process at a time to do something
attempt       one try to process a document or to embed a chunk, counted before it starts
held up       of a run: what it needs is missing or full, so that its documents wait; one at a time is tried
quarantined   of a document: all attempts are used up; a person decides
suspect       a chunk that was in the hands of a worker when it died
unconfirmed   of a key: written or deleted in Milvus by a drain that may have lost its lock
dead letter   a record that cannot be stored, kept for a person
batch         texts that go through the model together, bounded by tokens
window        chunks that are claimed together, enough for some batches
time slice    how long one embedding task works before it lets other messages in
slot          the right to send one request to a host now
back-off      how long a host is left alone after it refused
collection    vectors of one model in Milvus: the active one is searched, the building one is filled
adopt         to begin filling a collection for the model that the embedder has loaded
fingerprint   a hash that tells whether something has to be done again
alert         a sentence for staff that says what is wrong and what to do
remark        a sentence on a run about what was left out
"""

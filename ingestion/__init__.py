"""From a source to the index, as numbered data flow.

1. ``admin``, ``manage.py ingest`` or the schedule writes Source, Run and Document rows (``models``).
2. ``dispatcher`` leases what may start now: fair between sources, bounded by what is in flight.
3. A CPU worker fetches (``sources``: one module per kind; ``fetcher`` with ``netguard`` and ``connections``;
   ``politeness``, which all processes share through Redis), extracts (``extractor``: one module per format)
   and cuts (``chunker``); ``pipeline`` compares with what is stored: new chunks wait for the embedder,
   unchanged ones keep their vectors, vanished ones are to be removed.
4. The GPU worker, one per device (``gpu_worker``, ``device``), takes waiting chunks of many documents, embeds them
   (``embedder``), pushes binary records onto a Redis list (``buffer``) and says how it does (``heartbeat``).
5. Beat's drain, in a worker of its own, claims records in bulk, upserts them into Milvus (``vector_store``), marks
   the rows indexed, and only then forgets the records; vanished chunks leave Milvus, then the rows.
6. When the GPU worker has another model than the index, a second collection is filled from the rows while the first
   is searched, and takes its place when it is complete. An audit compares all keys with the rows and mends both sides.

The database is the truth: broker and buffer can be wiped at any moment and everything still ends.
``tasks`` are thin Celery wrappers around ``pipeline`` and ``dispatcher``; messages carry ids only.
"""

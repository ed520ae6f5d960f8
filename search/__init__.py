"""From a question to an answer, as numbered data flow.

1. ``forms`` reads a question from a request or a command line (``questions.Question``).
2. ``retriever`` embeds it in this process, asks Milvus and joins the hits with the rows: what the database
   does not vouch for is never shown.
3. ``prompt`` bounds and fences the passages; ``llm`` streams what the model says of them. Without a model
   ``extract`` takes the sentences that answer best.
4. ``citations`` cleans the generated text; ``answer`` joins all of it into one stream of events.
5. ``api`` sends the events to a browser, ``views`` renders pages, the commands print.

Nothing here needs the workers or Redis. Crawled and generated text is hostile: it leaves as plain text.
"""

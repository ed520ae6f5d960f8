"""Joins stages and rows. Each function does one step of the data flow and returns what should happen
next; none of them sends a message.

``listing``   a run's source -> Document rows
``pages``     one document -> Chunk rows
``embedding`` waiting chunks -> records in the buffer
``indexing``  records -> Milvus and rows marked indexed; vanished chunks leave
``progress``  states of documents and runs that follow from their parts
``missing``   what a source seems to hold no more: confirmed, held or removed
``collections``, ``building``  which collection is searched and filled; filling another one
``audit``     rows beside Milvus' keys: what differs, and mending it
``runs``      starting runs, their figures
``status``, ``troubles``  how things stand, and what needs a person
``preview``, ``estimate``  what documents would become and cost, without rows

``shape``, ``aliases``, ``passages``, ``outcomes`` and ``following`` are parts of these steps; so are ``turns``,
``claims``, ``twins``, ``conveyor``, ``delivery`` and ``gauge``, of ``embedding``.
"""

"""Joins stages and rows. Each function does one step of the data flow and returns what should happen next.

No function here sends a message: ``tasks`` sends what they return. In the order of the data flow:

``dispatcher``  which runs, documents and chunks may start now
``discover``    a run's source → Document rows; links of a page → more of them
``process``     one document → Chunk rows
``describe``    chunks that want a sentence of context → the sentence
``embed``       waiting chunks → records in the buffer
``index``       records → Milvus and rows marked indexed; filling another collection; comparing rows with Milvus
``report``      how things stand, what needs a person, what a source would become and cost
``state``       runs, collections, and the state transitions that all of these share
"""

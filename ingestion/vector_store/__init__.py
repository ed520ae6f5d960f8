"""The Milvus collection.

``store`` is the door, ``client`` speaks pymilvus and names its errors, ``rows`` says what is stored.
"""

"""The Milvus collection.

``store`` is the interface, ``client`` speaks pymilvus and tells its failures apart, ``rows`` defines what is stored.
"""

"""What the vector store is made of: ``client`` speaks pymilvus and names its errors, ``rows`` are what is stored."""

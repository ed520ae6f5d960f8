"""A run's source → Document rows, and the links of a page → more of them."""

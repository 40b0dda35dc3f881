"""The read model in Redis: what the projection writes and the query side reads.

Redis is disposable: everything here is rebuilt from the committed topics by the projection. The two
halves meet in ``keys`` (names), ``record`` (values), ``positions`` (how far it is) and ``scripts``.
"""

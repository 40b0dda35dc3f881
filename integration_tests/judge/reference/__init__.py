"""The reference fold: what a set of facts comes to, computed from the whole set. Pure.

Written from the contracts and the promised meaning of each field, in the plainest form: a matter is
a sorted list of standing facts, and every field is a question asked of that list.
"""

"""The evidence stage: answers that leave the house, and the program that checks them.

A bundle holds an answer of the query stage with what its recipient may see of it, a report for
people, and the verifier. It may import the query stage and what stands below. ``verify`` imports
nothing of this program, so that it can be read and run alone; nothing here may decide what a
reader may see (``query.boundary``) or ask the ledger itself.
"""

"""Affidavit keeps verifiable records for generative AI.

Data flows one way: capture → record → journal → ledger, vault → index → query → evidence.
Each folder is a stage; its ``__init__`` says what it does, what it may import and what it must
not do. The order is enforced by the import contract in ``pyproject.toml``.
"""

__version__ = "0.1.0"

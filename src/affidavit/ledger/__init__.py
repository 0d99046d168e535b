"""The append-only truth: order, links, leaves, tiles, heads and signed checkpoints.

Takes records from the journals, gives each its index, its ledger time and its links, and keeps a
Merkle log of them in the C2SP tile format that others can read and verify. ``log`` is the one
writer; ``log_reader`` and ``fsck`` need the files alone. May import ``record`` and the
foundations. Must not import the vault or the index (which are handed in as what they do), nor
know providers, HTTP or policy: what a record means was decided before it came here.
"""

"""Where sealed sections and content live, and the keys that open them.

Holds the keyring (``keys.db``), the segments that the sequencer appends to, the read side that any
process of the owner may use, and erasure: keys destroyed, survivors wrapped anew, content
overwritten, and holds that outlive it. May import ``ledger`` (to read leaves), ``record`` and the
foundations. Must not decide who may see what (``query``), and must not change what a writer
committed to: what is read is checked against the leaf, never repaired.
"""

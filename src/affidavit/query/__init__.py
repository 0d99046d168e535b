"""The query stage: questions, within what the reader may see.

An expression is parsed to a typed tree, the reader's boundary is put into the tree, one emitter
turns the tree into parametrised SQL, and rows come back as flat documented objects. It may import
the index and the vault (to show content and to check it against the ledger) and what stands
below. It must not write anything: whoever asks on behalf of a reader records the question first.
"""

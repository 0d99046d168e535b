"""Everything that arrives from outside becomes records here, before anything is done about it.

The gateway reads a call, identifies the caller, commits the request record to its journal, and
only then forwards the bytes; what comes back is in the journal before the caller has it. May
import ``control``, ``providers``, ``record``, ``wire`` and the foundations. Must not import the
ledger, the vault or the index: the journal is the only way there.
"""

"""Who is calling, in which session, for what purpose, and whether they may.

Holds identities, their keys and the snapshot of both that gateways work from; the local socket
between processes; attribution from headers and bodies. May import ``record``, ``wire`` and the
foundations. Must not know providers' dialects, HTTP servers, the ledger or the vault.
"""

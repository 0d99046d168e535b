"""What one record is, how it is committed to, sealed and made durable.

Holds the record model, disclosures (RFC 9901), key derivation, sealing, and the journal that a
writer fills before it acknowledges anything. May import ``wire`` and the foundations. Must not
know providers, HTTP, the ledger or the vault.
"""

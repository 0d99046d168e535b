"""The index: what makes records findable; rebuildable from ledger and vault at any time.

Takes placed records from intake (or views read back from the vault), projects each to one flat
row, and keeps rows, posting lists, sums and full text in two encrypted files. It may
import the ledger's reader, the providers' parsers, the record stage and the foundations. It must
not decide who may read what (``query.boundary``), and must not hold anything that ledger and
vault do not: losing it costs time, never evidence (guarantee G6).
"""

"""The readers' side: HTTP API, plain status page, metrics and the published log files.

Authenticates readers, asks ``query`` and ``evidence`` within their boundary, and writes a record
of each read to its own journal before the first row leaves. May import ``evidence``, ``query``
and what stands below. Must not write ledger, vault or index, and must not see a content byte
that the reader's boundary withholds.
"""

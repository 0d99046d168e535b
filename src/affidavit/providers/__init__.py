"""Dialects of model APIs: bytes of an exchange in, facts about it out.

One file or two per dialect. A dialect never raises, whatever the bytes: what it does not
understand it says (``parsed``), because failing to understand must never be failing to record.
It does no I/O and knows no record, no identity and no policy. It may import ``wire`` and the
foundations only. The bytes are the evidence; facts are a reading of them by a parser whose name
and version stand beside them.
"""

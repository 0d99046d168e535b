"""Parsers for what travels on a wire: bytes in, values or a typed error out.

The stage knows HTTP rules, server-sent events, content codings and JSON; it knows no provider,
no record and no socket. It may import the foundations only (``errors``), does no I/O, and keeps
no state beyond one message. Every limit is an argument with a default.
"""

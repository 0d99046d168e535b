"""Checks with the package metamorphic-log what its standard input says; prints what it accepted.

Run by the tests with the interpreter that has the package. Reads one JSON object: ``old`` and
``new`` notes, ``vkeys``, ``consistency`` (hex), ``leaves``: ``[index, leaf hash, path]`` in hex.
"""

import json
import sys

import metamorphic_log as peer

asked = json.load(sys.stdin)
head = peer.checkpoint_verify(asked["new"], asked["vkeys"])
proof = [bytes.fromhex(item) for item in asked["consistency"]]
peer.checkpoint_verify_consistency(asked["old"], asked["new"], asked["vkeys"], proof)
for index, leaf, path in asked["leaves"]:
    steps = [bytes.fromhex(item) for item in path]
    peer.checkpoint_verify_inclusion(
        asked["new"], asked["vkeys"], index, bytes.fromhex(leaf), steps
    )
print(f"{head.origin} {head.size}: {len(asked['leaves'])} inclusions, 1 consistency")

"""The command line: one file per verb, over the console's API or the files of a data directory.

Rules for all verbs: ``--json`` gives JSON Lines on stdout and nothing else there; messages go to
stderr; exit code 0 done, 1 a check failed, 2 wrong use, 3 refused, 4 something needed is not
reachable; an error is one sentence and what to do, never a traceback. May import everything
below. Must not hold rules about records, proofs or boundaries.
"""

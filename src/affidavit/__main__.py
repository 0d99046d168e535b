"""``python -m affidavit``: the command line."""

from affidavit.cli.main import main

main()

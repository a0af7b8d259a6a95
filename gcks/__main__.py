"""`python -m gcks`: the key server's command line."""

from gcks.cli.server_command import main

main()

"""The command line, `tiger-fg`: one small module per command, each a thin call into a room of the package.

Command modules import nothing heavy at the top, so that `tiger-fg --help` answers at once.
"""

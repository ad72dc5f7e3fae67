"""The command line, `tiger-fg`: one small module per command, each a thin wrapper around the package.

Commands import heavy libraries only when they run, so that `tiger-fg --help` answers at once.
"""

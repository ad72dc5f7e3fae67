"""The harness that every benchmark runs on: command line, runs, results, tables and reports."""

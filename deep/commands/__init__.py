"""One module for each command of ``python -m deep``: ``run(arguments)`` parses them and returns the exit status."""

"""The commands, one module each: ``run(arguments)`` parses what follows the command's name and returns the status."""

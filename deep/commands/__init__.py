"""The commands of ``python -m deep``, a module each with ``run(arguments) -> exit status``."""

"""The command line: a thin skin over the library. A command parses, makes one library call, and writes.

`main` holds the commands by name and what they exit with; one module per group of commands; `options` checks what
they share; `printing` turns results into text.
"""

"""What the exporter says of itself to people and to programs that ask for JSON. Pure.

From the board, which holds facts, to views, which hold what is shown of them.
"""

"""`speciate registry browse`: the registry as a local web page and as a JSON API.

A door like the command line, and as thin: it asks the registry and shows what it says. Cards were written by others, so
all that comes from one is text here, never markup, and no path of a request or of a card is ever opened.
"""

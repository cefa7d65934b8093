"""Text that others wrote, made safe to show: one line, and nothing in it that a terminal obeys."""


def plain(*values: object) -> str:
    """The values in one line, with a mark for each character that could move the cursor or turn the text round."""
    line = " ".join(" ".join(str(value).split()) for value in values)
    return "".join(character if character.isprintable() else "\ufffd" for character in line)

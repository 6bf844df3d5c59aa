"""The text of each token on its own."""

import re

from transformers.convert_slow_tokenizer import bytes_to_unicode

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# What tokenizers that are not byte-level write for a space.
SPACE = "\u2581"


def readable(data):
    """Bytes as text; those that are no UTF-8, as of a character that several tokens share, as `<0xE2>`."""
    return "".join(f"<0x{ord(char) - 0xDC00:02X}>" if "\udc80" <= char <= "\udcff" else char
                   for char in data.decode("utf-8", errors="surrogateescape"))


def texts(tokenizer, ids):
    """A string for each token. Put together, those of ordinary text are the text."""
    pieces = tokenizer.convert_ids_to_tokens(ids)
    special = set(tokenizer.all_special_ids)
    byte_of = {char: byte for byte, char in bytes_to_unicode().items()}
    is_byte_level = any("Ġ" in piece or "Ċ" in piece for piece in pieces) or not any(SPACE in piece for piece in pieces)
    found = []
    for number, piece in zip(ids, pieces):
        if number in special:
            found.append(piece)
        elif match := BYTE.fullmatch(piece):
            found.append(readable(bytes([int(match[1], 16)])))
        elif is_byte_level and all(char in byte_of for char in piece):
            found.append(readable(bytes(byte_of[char] for char in piece)))
        else:
            found.append(piece.replace(SPACE, " "))
    return found

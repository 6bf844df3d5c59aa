/* UTF-8, and token text made printable. */
#include "text.h"

#include "die.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t utf8_decode(const char *text, unsigned *code)
{
    /* By length: the smallest code point that needs it. A shorter one in so many bytes is "overlong". */
    static const unsigned smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char first = (unsigned char)text[0];
    size_t length;

    if (first < 0x80) {
        *code = first;
        return 1;
    }
    if (first >= 0xC0 && first < 0xE0) {
        length = 2;
        *code = first & 0x1F;
    } else if (first >= 0xE0 && first < 0xF0) {
        length = 3;
        *code = first & 0x0F;
    } else if (first >= 0xF0 && first < 0xF8) {
        length = 4;
        *code = first & 0x07;
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xC0) != 0x80)
            return 0; /* also at the terminating 0, beyond which nothing may be read */
        *code = *code << 6 | (next & 0x3F);
    }
    bool surrogate = *code >= 0xD800 && *code < 0xE000;
    return *code < smallest[length] || *code > 0x10FFFF || surrogate ? 0 : length;
}

size_t utf8_encode(unsigned code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

size_t utf8_length(const char *text)
{
    size_t length = 0;

    for (; *text != '\0'; text++)
        length += ((unsigned char)*text & 0xC0) != 0x80;
    return length;
}

/* The C0 and C1 controls would steer a terminal; U+FFFE and U+FFFF are no XML characters. */
static bool needs_escape(unsigned code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0xFFFE || code == 0xFFFF;
}

char *printable(const char *text)
{
    enum { LONGEST_ESCAPE = sizeof "\\uFFFF" };
    char *copy = allocate(strlen(text) + 1, LONGEST_ESCAPE);
    char *out = copy;

    while (*text != '\0') {
        unsigned code;
        size_t length = utf8_decode(text, &code);

        if (length == 0) {
            code = 0xFFFD;
            length = 1;
        }
        if (code == '\n')
            out += sprintf(out, "\\n");
        else if (code == '\t')
            out += sprintf(out, "\\t");
        else if (needs_escape(code))
            out += sprintf(out, "\\u%04X", code);
        else
            out += utf8_encode(code, out);
        text += length;
    }
    return copy;
}

char *quoted(const char *text)
{
    char *inner = printable(text);
    size_t length = strlen(inner) + 3;
    char *result = allocate(length, 1);

    snprintf(result, length, "\"%s\"", inner);
    free(inner);
    return result;
}

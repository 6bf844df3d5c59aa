/* A strict JSON reader (RFC 8259): recursive descent over a NUL-terminated text. */
#include "json.h"

#include "die.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

/* A header nests three deep. The limit keeps a hostile one from using up the stack. */
#define MAX_DEPTH 16

struct reader {
    const char *text;
    const char *at;
    const char *end;
    struct json_error *error;
};

static bool read_value(struct reader *reader, struct json *value, int depth);

static bool fail(struct reader *reader, const char *what)
{
    reader->error->what = what;
    reader->error->offset = (size_t)(reader->at - reader->text);
    return false;
}

static void skip_space(struct reader *reader)
{
    while (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r')
        reader->at++;
}

static bool take(struct reader *reader, char wanted)
{
    if (*reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

static bool take_digits(struct reader *reader)
{
    const char *start = reader->at;

    while (*reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return reader->at > start;
}

static bool read_number(struct reader *reader, struct json *value)
{
    const char *start = reader->at;

    take(reader, '-');
    if (!take(reader, '0') && !take_digits(reader))
        return fail(reader, "expected a value");
    if (take(reader, '.') && !take_digits(reader))
        return fail(reader, "expected a digit after the decimal point");
    if (take(reader, 'e') || take(reader, 'E')) {
        if (!take(reader, '-'))
            take(reader, '+');
        if (!take_digits(reader))
            return fail(reader, "expected a digit in the exponent");
    }
    value->kind = JSON_NUMBER;
    value->number = strtod(start, NULL);
    return true;
}

static bool read_four_hex_digits(struct reader *reader, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        char digit = *reader->at;
        unsigned nibble;

        if (digit >= '0' && digit <= '9')
            nibble = (unsigned)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            nibble = (unsigned)(digit - 'a') + 10;
        else if (digit >= 'A' && digit <= 'F')
            nibble = (unsigned)(digit - 'A') + 10;
        else
            return fail(reader, "expected four hexadecimal digits after \\u");
        *code = *code << 4 | nibble;
        reader->at++;
    }
    return true;
}

/* After "\u": one escape, or the two of a surrogate pair. */
static bool read_unicode_escape(struct reader *reader, char **out)
{
    unsigned code, low;

    if (!read_four_hex_digits(reader, &code))
        return false;
    if (code >= 0xD800 && code < 0xDC00) {
        if (!take_word(reader, "\\u") || !read_four_hex_digits(reader, &low) || low < 0xDC00 || low > 0xDFFF)
            return fail(reader, "expected the second half of a surrogate pair");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
        return fail(reader, "the second half of a surrogate pair without the first");
    } else if (code == 0) {
        return fail(reader, "a NUL in a string");
    }
    *out += utf8_encode(code, *out);
    return true;
}

static bool read_escape(struct reader *reader, char **out)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";

    if (take(reader, 'u'))
        return read_unicode_escape(reader, out);

    const char *name = *reader->at != '\0' ? strchr(names, *reader->at) : NULL;
    if (name == NULL)
        return fail(reader, "an unknown escape in a string");
    *(*out)++ = meanings[name - names];
    reader->at++;
    return true;
}

/* The text between the quotes is copied to `out`, which is as long as the source: no escape grows. */
static bool read_characters(struct reader *reader, char *out)
{
    while (*reader->at != '"') {
        if ((unsigned char)*reader->at < 0x20)
            return fail(reader, reader->at == reader->end ? "the text ends inside a string"
                                                          : "a control character in a string");
        if (take(reader, '\\')) {
            if (!read_escape(reader, &out))
                return false;
            continue;
        }

        unsigned code;
        size_t length = utf8_decode(reader->at, &code);
        if (length == 0)
            return fail(reader, "invalid UTF-8 in a string");
        memcpy(out, reader->at, length);
        out += length;
        reader->at += length;
    }
    reader->at++;
    *out = '\0';
    return true;
}

/* Where the string that starts here ends at the latest: its length before escapes are resolved. */
static size_t length_before_escapes(const char *at)
{
    const char *start = at;

    while (*at != '\0' && *at != '"')
        at += at[0] == '\\' && at[1] != '\0' ? 2 : 1;
    return (size_t)(at - start);
}

static bool read_string(struct reader *reader, char **string)
{
    if (!take(reader, '"'))
        return fail(reader, "expected a string");
    *string = allocate(length_before_escapes(reader->at) + 1, 1);
    return read_characters(reader, *string);
}

static bool read_array(struct reader *reader, struct json *value, int depth)
{
    size_t capacity = 0;

    value->kind = JSON_ARRAY;
    skip_space(reader);
    if (take(reader, ']'))
        return true;
    do {
        value->items = make_room(value->items, value->count, &capacity, sizeof *value->items);
        if (!read_value(reader, &value->items[value->count++], depth))
            return false;
    } while (take(reader, ','));
    return take(reader, ']') || fail(reader, "expected ',' or ']'");
}

static int compare_keys(const void *left, const void *right)
{
    const struct json_member *one = left, *other = right;

    return strcmp(one->key, other->key);
}

static bool sort_members(struct reader *reader, struct json *object)
{
    qsort(object->members, object->count, sizeof *object->members, compare_keys);
    for (size_t i = 1; i < object->count; i++)
        if (compare_keys(&object->members[i - 1], &object->members[i]) == 0)
            return fail(reader, "an object names the same key twice");
    return true;
}

static bool read_object(struct reader *reader, struct json *value, int depth)
{
    size_t capacity = 0;

    value->kind = JSON_OBJECT;
    skip_space(reader);
    if (take(reader, '}'))
        return true;
    do {
        value->members = make_room(value->members, value->count, &capacity, sizeof *value->members);
        struct json_member *member = &value->members[value->count++];
        *member = (struct json_member){ 0 };

        skip_space(reader);
        if (!read_string(reader, &member->key))
            return false;
        skip_space(reader);
        if (!take(reader, ':'))
            return fail(reader, "expected ':'");
        if (!read_value(reader, &member->value, depth))
            return false;
    } while (take(reader, ','));
    if (!take(reader, '}'))
        return fail(reader, "expected ',' or '}'");
    return sort_members(reader, value);
}

/* Leaves `value` in a state that json_free accepts, whatever happens. */
static bool read_value(struct reader *reader, struct json *value, int depth)
{
    bool ok;

    *value = (struct json){ .kind = JSON_NULL };
    if (depth > MAX_DEPTH)
        return fail(reader, "nested too deep");
    skip_space(reader);
    if (take(reader, '{')) {
        ok = read_object(reader, value, depth + 1);
    } else if (take(reader, '[')) {
        ok = read_array(reader, value, depth + 1);
    } else if (*reader->at == '"') {
        value->kind = JSON_STRING;
        ok = read_string(reader, &value->string);
    } else if (take_word(reader, "true")) {
        value->kind = JSON_BOOLEAN;
        value->boolean = true;
        ok = true;
    } else if (take_word(reader, "false")) {
        value->kind = JSON_BOOLEAN;
        ok = true;
    } else if (take_word(reader, "null")) {
        ok = true;
    } else {
        ok = read_number(reader, value);
    }
    skip_space(reader);
    return ok;
}

bool json_parse(const char *text, size_t length, struct json *value, struct json_error *error)
{
    struct reader reader = { .text = text, .at = text, .end = text + length, .error = error };

    bool ok = read_value(&reader, value, 0);
    if (ok && reader.at != reader.end)
        ok = fail(&reader, "something after the end of the value");
    if (!ok)
        json_free(value);
    return ok;
}

const struct json *json_member(const struct json *object, const char *key)
{
    if (object->kind != JSON_OBJECT || object->count == 0)
        return NULL;

    /* bsearch compares like with like; the key is only read. */
    struct json_member wanted = { .key = (char *)key };
    const struct json_member *found =
        bsearch(&wanted, object->members, object->count, sizeof *object->members, compare_keys);
    return found != NULL ? &found->value : NULL;
}

void json_free(struct json *value)
{
    for (size_t i = 0; value->items != NULL && i < value->count; i++)
        json_free(&value->items[i]);
    for (size_t i = 0; value->members != NULL && i < value->count; i++) {
        free(value->members[i].key);
        json_free(&value->members[i].value);
    }
    free(value->items);
    free(value->members);
    free(value->string);
    *value = (struct json){ .kind = JSON_NULL };
}

/* A strict JSON reader, as much of one as a safetensors header needs. */
#ifndef EXPLAIN_JSON_H
#define EXPLAIN_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum json_kind { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    bool boolean;
    double number;
    char *string; /* valid UTF-8 that holds no NUL */
    size_t count; /* items of an array, members of an object */
    struct json *items;
    struct json_member *members; /* sorted by key; no key occurs twice */
};

struct json_member {
    char *key;
    struct json value;
};

struct json_error {
    const char *what;
    size_t offset; /* the byte at which it was noticed */
};

/*
 * Reads the one value in `text`; white space may stand around it. `text[length]` must be 0.
 * On failure nothing is left to free, and `error` says why.
 */
bool json_parse(const char *text, size_t length, struct json *value, struct json_error *error);

/* NULL where there is no such member, or no object. */
const struct json *json_member(const struct json *object, const char *key);

void json_free(struct json *value);

#endif

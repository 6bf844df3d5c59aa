/*
 * A safetensors file is: the length of the header (8 bytes, little-endian), the header (a JSON object:
 * name -> dtype, shape, data_offsets; __metadata__ -> strings), and the data that the offsets count in.
 */
#include "safetensors.h"

#include "die.h"
#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 8
#define METADATA "__metadata__"

/* Offsets above this are no longer exact in a double, which is what a JSON number is. */
#define MAX_EXACT_INTEGER 9007199254740992.0

static uint32_t little_endian(const unsigned char *bytes, size_t count)
{
    uint32_t value = 0;

    for (size_t i = count; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static unsigned char *read_whole_file(const char *path, size_t *size)
{
    unsigned char *contents = NULL;
    size_t capacity = 0;
    FILE *stream = fopen(path, "rb");

    if (stream == NULL)
        die("%s: cannot open: %s", path, strerror(errno));
    *size = 0;
    for (;;) {
        contents = make_room(contents, *size, &capacity, 1);
        size_t got = fread(contents + *size, 1, capacity - *size, stream);
        if (got == 0)
            break;
        *size += got;
    }
    if (ferror(stream))
        die("%s: cannot read: %s", path, strerror(errno));
    fclose(stream);
    return contents;
}

/* A non-negative integer that fits a size_t. */
static bool read_size(const struct json *value, size_t *size)
{
    if (value->kind != JSON_NUMBER || !(value->number >= 0) || value->number > MAX_EXACT_INTEGER ||
        value->number > (double)(SIZE_MAX / 2) || value->number != floor(value->number))
        return false;
    *size = (size_t)value->number;
    return true;
}

/* 0 for a type that is not known here: its tensors may be there, but cannot be measured or read. */
static size_t dtype_size(const char *dtype)
{
    static const struct {
        const char *name;
        size_t size;
    } known[] = {
        { "F64", 8 }, { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "I64", 8 }, { "I32", 4 }, { "I16", 2 },
        { "I8", 1 },  { "U64", 8 }, { "U32", 4 }, { "U16", 2 },  { "U8", 1 },  { "BOOL", 1 },
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, dtype) == 0)
            return known[i].size;
    return 0;
}

static void check_tensor(const char *path, const char *raw_name, const struct json *entry, const unsigned char *data,
                         size_t data_size, struct tensor *tensor)
{
    const struct json *dtype = json_member(entry, "dtype");
    const struct json *shape = json_member(entry, "shape");
    const struct json *offsets = json_member(entry, "data_offsets");
    char *name = printable(raw_name);
    size_t begin, end;

    if (entry->kind != JSON_OBJECT)
        die("%s: %s: expected an object with dtype, shape and data_offsets", path, name);
    if (dtype == NULL || dtype->kind != JSON_STRING)
        die("%s: %s: expected a string as dtype", path, name);
    size_t needed = dtype_size(dtype->string);
    if (needed == 0)
        die("%s: %s: unknown dtype %s", path, name, quoted(dtype->string));

    if (shape == NULL || shape->kind != JSON_ARRAY || shape->count > MAX_DIMS)
        die("%s: %s: expected an array of at most %d sizes as shape", path, name, MAX_DIMS);
    for (size_t i = 0; i < shape->count; i++) {
        size_t *size = &tensor->shape[i];
        if (!read_size(&shape->items[i], size))
            die("%s: %s: shape[%zu]: expected a non-negative integer", path, name, i);
        if (*size > 0 && needed > SIZE_MAX / *size)
            die("%s: %s: shape: more elements than memory can hold", path, name);
        needed *= *size;
    }

    if (offsets == NULL || offsets->kind != JSON_ARRAY || offsets->count != 2 ||
        !read_size(&offsets->items[0], &begin) || !read_size(&offsets->items[1], &end) || begin > end)
        die("%s: %s: data_offsets: expected [begin, end] with 0 <= begin <= end", path, name);
    if (end > data_size)
        die("%s: %s: data_offsets [%zu, %zu] reach beyond the %zu bytes of data: is the file truncated?", path, name,
            begin, end, data_size);
    if (end - begin != needed)
        die("%s: %s: data_offsets span %zu bytes, but shape and dtype need %zu", path, name, end - begin, needed);

    tensor->name = raw_name;
    tensor->dtype = dtype->string;
    tensor->n_dims = shape->count;
    tensor->bytes = data + begin;
    tensor->n_bytes = needed;
    free(name);
}

static void parse_header(struct safetensors *file, size_t length)
{
    struct json_error error;
    /* A copy, since the parser wants a 0 after the text and the file has data there. */
    char *text = allocate(length + 1, 1);

    memcpy(text, file->file + LENGTH_BYTES, length);
    if (!json_parse(text, length, &file->header, &error))
        die("%s: header is not valid JSON: %s, at byte %zu of the header", file->path, error.what, error.offset);
    free(text);
    if (file->header.kind != JSON_OBJECT)
        die("%s: header: expected a JSON object", file->path);
}

struct safetensors safetensors_load(const char *path)
{
    struct safetensors file = { .path = path };
    size_t size;

    file.file = read_whole_file(path, &size);
    if (size < LENGTH_BYTES)
        die("%s: %zu bytes are too few for a safetensors file, which begins with the 8 bytes of its header's length",
            path, size);
    uint64_t header_length =
        (uint64_t)little_endian(file.file + 4, 4) << 32 | little_endian(file.file, 4);
    if (header_length > size - LENGTH_BYTES)
        die("%s: the header claims %llu bytes, but only %zu follow: not a safetensors file, or truncated", path,
            (unsigned long long)header_length, size - LENGTH_BYTES);
    parse_header(&file, (size_t)header_length);

    const unsigned char *data = file.file + LENGTH_BYTES + header_length;
    size_t data_size = size - LENGTH_BYTES - (size_t)header_length;
    file.tensors = allocate(file.header.count, sizeof *file.tensors);
    for (size_t i = 0; i < file.header.count; i++) {
        const struct json_member *entry = &file.header.members[i];
        if (strcmp(entry->key, METADATA) != 0)
            check_tensor(path, entry->key, &entry->value, data, data_size, &file.tensors[file.n_tensors++]);
    }
    return file;
}

const char *safetensors_find_metadata(const struct safetensors *file, const char *key)
{
    const struct json *metadata = json_member(&file->header, METADATA);

    if (metadata == NULL)
        die("%s: %s is missing", file->path, METADATA);
    const struct json *value = json_member(metadata, key);
    if (value == NULL)
        return NULL;
    if (value->kind != JSON_STRING)
        die("%s: %s: %s: expected a string", file->path, METADATA, key);
    return value->string;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    const char *value = safetensors_find_metadata(file, key);

    if (value == NULL)
        die("%s: %s: %s is missing", file->path, METADATA, key);
    return value;
}

/* IEEE binary16: 1 sign, 5 exponent and 10 fraction bits. Every value is exact in float32. */
static float from_half(uint32_t bits)
{
    int exponent = (int)(bits >> 10 & 0x1F);
    float fraction = (float)(bits & 0x3FF);
    float magnitude;

    if (exponent == 0)
        magnitude = ldexpf(fraction, -24);
    else if (exponent == 0x1F)
        magnitude = fraction == 0 ? INFINITY : NAN;
    else
        magnitude = ldexpf(fraction + 1024, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static float from_single(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* NULL where there is none. */
static const struct tensor *find(const struct safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->n_tensors; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

bool safetensors_has(const struct safetensors *file, const char *name)
{
    return find(file, name) != NULL;
}

/* "[12, 576]" */
static const char *shape_text(size_t n_dims, const size_t *shape, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, "[");

    for (size_t i = 0; i < n_dims && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, i > 0 ? ", %zu" : "%zu", shape[i]);
    if (used < room)
        snprintf(text + used, room - used, "]");
    return text;
}

float *safetensors_read(const struct safetensors *file, const char *name, size_t n_dims, const size_t *shape)
{
    const struct tensor *tensor = find(file, name);
    if (tensor == NULL)
        die("%s: tensor %s is missing", file->path, name);
    bool is_half = strcmp(tensor->dtype, "F16") == 0, is_bfloat = strcmp(tensor->dtype, "BF16") == 0;
    char expected[256], got[256];

    if (!is_half && !is_bfloat && strcmp(tensor->dtype, "F32") != 0)
        die("%s: %s: expected dtype F32, F16 or BF16, got %s", file->path, name, tensor->dtype);
    if (tensor->n_dims != n_dims || memcmp(tensor->shape, shape, n_dims * sizeof *shape) != 0)
        die("%s: %s: expected shape %s, got %s", file->path, name, shape_text(n_dims, shape, expected, sizeof expected),
            shape_text(tensor->n_dims, tensor->shape, got, sizeof got));

    size_t width = is_half || is_bfloat ? 2 : 4;
    size_t count = tensor->n_bytes / width;
    float *values = allocate(count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = little_endian(tensor->bytes + i * width, width);
        /* bfloat16 is the upper half of a float32. */
        values[i] = is_half ? from_half(bits) : from_single(is_bfloat ? bits << 16 : bits);
    }
    return values;
}

void safetensors_free(struct safetensors *file)
{
    json_free(&file->header);
    free(file->tensors);
    free(file->file);
}

/* A safetensors file: loaded whole, checked once, its tensors handed out by name as float32. */
#ifndef EXPLAIN_SAFETENSORS_H
#define EXPLAIN_SAFETENSORS_H

#include "json.h"

#include <stdbool.h>
#include <stddef.h>

#define MAX_DIMS 8

struct tensor {
    const char *name;
    const char *dtype; /* as the file spells it: "F32" */
    size_t n_dims;
    size_t shape[MAX_DIMS];
    const unsigned char *bytes;
    size_t n_bytes;
};

struct safetensors {
    const char *path;
    unsigned char *file;
    struct json header;
    struct tensor *tensors; /* in the order of their names */
    size_t n_tensors;
};

/* Every entry of the header is checked here against the file; dies with a message where one is wrong. */
struct safetensors safetensors_load(const char *path);

/* The string under `key` in __metadata__; dies where there is none. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* The same; NULL where there is none. */
const char *safetensors_find_metadata(const struct safetensors *file, const char *key);

/* Whether there is a tensor with this name. */
bool safetensors_has(const struct safetensors *file, const char *name);

/* The values of the tensor, the caller's to free; dies unless it has this shape and a known float type. */
float *safetensors_read(const struct safetensors *file, const char *name, size_t n_dims, const size_t *shape);

void safetensors_free(struct safetensors *file);

#endif

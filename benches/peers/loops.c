/* The loops that one would write in C instead of calling contrib, over dense attention parts, and over attention parts given
 * as pattern and values, in f32.
 *
 * set_up.sh compiles this file twice: as the naive scalar loop (-O2 -fno-tree-vectorize), and as the loop of a careful
 * programmer (-Ofast -march=native -fopenmp), which the compiler vectorises and spreads over threads. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

static float norm_1(const float *x, int64_t d) {
    float sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += fabsf(x[i]);
    return sum;
}

static float norm_2(const float *x, int64_t d) {
    float sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += x[i] * x[i];
    return sqrtf(sum);
}

static float distance_1(const float *part, const float *whole, int64_t d) {
    float sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += fabsf(part[i] - whole[i] + 1e-6f);
    return sum;
}

static float distance_2(const float *part, const float *whole, int64_t d) {
    float sum = 0;
    for (int64_t i = 0; i < d; i++) {
        float difference = part[i] - whole[i] + 1e-6f;
        sum += difference * difference;
    }
    return sqrtf(sum);
}

static float proximity(float of_whole, float distance) {
    float difference = of_whole - distance;
    return difference < 1e-5f ? 1e-5f : difference;
}

/* resid_pre and resid_mid [positions, d], decomposed_attn [positions, parts, d] -> out_attn [positions, parts],
 * out_resid [positions]; norm 1 or 2. Batch entries are so many more positions, keys and heads so many parts. */
void attention(const float *resid_pre, const float *resid_mid, const float *decomposed_attn, float *out_attn,
               float *out_resid, int64_t positions, int64_t parts, int64_t d, int norm, int threads) {
    (void)threads;
#pragma omp parallel for num_threads(threads)
    for (int64_t pos = 0; pos < positions; pos++) {
        const float *whole = resid_mid + pos * d, *residual = resid_pre + pos * d;
        const float *attn = decomposed_attn + pos * parts * d;
        float *out = out_attn + pos * parts;
        float of_whole = norm == 1 ? norm_1(whole, d) : norm_2(whole, d);
        float of_residual = norm == 1 ? distance_1(residual, whole, d) : distance_2(residual, whole, d);
        float sum = out_resid[pos] = proximity(of_whole, of_residual);
        for (int64_t p = 0; p < parts; p++) {
            float distance = norm == 1 ? distance_1(attn + p * d, whole, d) : distance_2(attn + p * d, whole, d);
            sum += out[p] = proximity(of_whole, distance);
        }
        for (int64_t p = 0; p < parts; p++)
            out[p] /= sum;
        out_resid[pos] /= sum;
    }
}

/* The sizes of one layer's attention: each query attends to each key through each head. d is a multiple of 64. */
struct attention_shape {
    int64_t queries, keys, heads, kv_heads, d_head, d;
};

/* Eight floats: a register of AVX. Not aligned more than a float. */
typedef float lanes __attribute__((vector_size(32), aligned(4)));

/* values [keys, kv_heads, d_head] through w_o [heads, d_head, d] -> value_output [keys, heads, d]. The 64 columns of a head's
 * matrix at a time stay in the first-level cache for all keys. */
static void project(const float *values, const float *w_o, float *value_output, const struct attention_shape *shape,
                    int threads) {
    (void)threads;
    int64_t heads = shape->heads, d_head = shape->d_head, d = shape->d, tiles = d / 64;
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < heads * tiles; task++) {
        int64_t head = task / tiles, column = task % tiles * 64, kv_head = head / (heads / shape->kv_heads);
        for (int64_t key = 0; key < shape->keys; key++) {
            const float *value = values + (key * shape->kv_heads + kv_head) * d_head;
            const float *row = w_o + head * d_head * d + column;
            lanes sums[8] = {{0}};
            for (int64_t i = 0; i < d_head; i++, row += d)
                for (int j = 0; j < 8; j++)
                    sums[j] += value[i] * *(const lanes *)(row + 8 * j);
            float *out = value_output + (key * heads + head) * d + column;
            for (int j = 0; j < 8; j++)
                *(lanes *)(out + 8 * j) = sums[j];
        }
    }
}

static float scaled_distance_1(float factor, const float *direction, const float *whole, int64_t d) {
    float sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += fabsf(factor * direction[i] - whole[i] + 1e-6f);
    return sum;
}

static float scaled_distance_2(float factor, const float *direction, const float *whole, int64_t d) {
    float sum = 0;
    for (int64_t i = 0; i < d; i++) {
        float difference = factor * direction[i] - whole[i] + 1e-6f;
        sum += difference * difference;
    }
    return sqrtf(sum);
}

/* Queries beside which a direction, once it is in the first-level cache, is used. */
#define QUERIES 8

/* resid_pre and resid_mid [queries, d], pattern [heads, queries, keys], values and w_o as above -> out_attn [queries, keys,
 * heads], out_resid [queries]; norm 1 or 2. The parts are never in memory, and all whose pattern is 0 have the distance of
 * the zero vector. Returns 0, or 1 where there is not enough memory. */
int attention_factored(const float *resid_pre, const float *resid_mid, const float *pattern, const float *values,
                       const float *w_o, float *out_attn, float *out_resid, const struct attention_shape *shape,
                       int norm, int threads) {
    int64_t queries = shape->queries, keys = shape->keys, heads = shape->heads, d = shape->d, parts = keys * heads;
    float *value_output = malloc(parts * d * sizeof(float));
    if (value_output == NULL)
        return 1;
    project(values, w_o, value_output, shape, threads);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t first = 0; first < queries; first += QUERIES) {
        int64_t end = first + QUERIES < queries ? first + QUERIES : queries;
        float of_whole[QUERIES], of_zero[QUERIES];
        for (int64_t query = first; query < end; query++) {
            const float *whole = resid_mid + query * d;
            of_whole[query - first] = norm == 1 ? norm_1(whole, d) : norm_2(whole, d);
            of_zero[query - first] =
                norm == 1 ? scaled_distance_1(0, whole, whole, d) : scaled_distance_2(0, whole, whole, d);
        }
        for (int64_t part = 0; part < parts; part++) {
            const float *direction = value_output + part * d;
            int64_t key = part / heads, head = part % heads;
            for (int64_t query = first; query < end; query++) {
                const float *whole = resid_mid + query * d;
                float factor = pattern[(head * queries + query) * keys + key];
                float distance = factor == 0 ? of_zero[query - first]
                                 : norm == 1 ? scaled_distance_1(factor, direction, whole, d)
                                             : scaled_distance_2(factor, direction, whole, d);
                out_attn[query * parts + part] = proximity(of_whole[query - first], distance);
            }
        }
        for (int64_t query = first; query < end; query++) {
            const float *whole = resid_mid + query * d, *residual = resid_pre + query * d;
            float *out = out_attn + query * parts;
            float of_residual = norm == 1 ? distance_1(residual, whole, d) : distance_2(residual, whole, d);
            float sum = out_resid[query] = proximity(of_whole[query - first], of_residual);
            for (int64_t part = 0; part < parts; part++)
                sum += out[part];
            for (int64_t part = 0; part < parts; part++)
                out[part] /= sum;
            out_resid[query] /= sum;
        }
    }
    free(value_output);
    return 0;
}

/* The parts themselves, [queries, keys, heads, d]: what a caller of contrib_attention has to make before. Returns as above. */
int decompose(const float *pattern, const float *values, const float *w_o, float *decomposed_attn,
              const struct attention_shape *shape, int threads) {
    int64_t queries = shape->queries, keys = shape->keys, heads = shape->heads, d = shape->d, parts = keys * heads;
    float *value_output = malloc(parts * d * sizeof(float));
    if (value_output == NULL)
        return 1;
    project(values, w_o, value_output, shape, threads);
#pragma omp parallel for num_threads(threads)
    for (int64_t query = 0; query < queries; query++)
        for (int64_t part = 0; part < parts; part++) {
            float factor = pattern[(part % heads * queries + query) * keys + part / heads];
            const float *direction = value_output + part * d;
            float *out = decomposed_attn + (query * parts + part) * d;
            for (int64_t i = 0; i < d; i++)
                out[i] = factor * direction[i];
        }
    free(value_output);
    return 0;
}

/* What follows is for measuring, and only in the second library. */
#ifdef _OPENMP

static float sum_of(const float *x, int64_t n) {
    lanes sums[8] = {{0}};
    for (int64_t i = 0; i + 64 <= n; i += 64)
        for (int j = 0; j < 8; j++)
            sums[j] += *(const lanes *)(x + i + 8 * j);
    float sum = 0;
    for (int j = 0; j < 64; j++)
        sum += sums[j / 8][j % 8];
    return sum;
}

/* The sum of n floats, n a multiple of 64 * threads, with eight accumulators in each thread: reads them as fast as
 * memory delivers them. */
float read_all(const float *x, int64_t n, int threads) {
    float sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
    for (int thread = 0; thread < threads; thread++)
        sum += sum_of(x + n / threads * thread, n / threads);
    return sum;
}

/* Many calls in a row, for calls that are much shorter than what calling C from Python takes. */
void repeat_attention(int64_t calls, const float *resid_pre, const float *resid_mid, const float *decomposed_attn,
                      float *out_attn, float *out_resid, int64_t positions, int64_t parts, int64_t d, int norm,
                      int threads) {
    for (int64_t i = 0; i < calls; i++)
        attention(resid_pre, resid_mid, decomposed_attn, out_attn, out_resid, positions, parts, d, norm, threads);
}

/* The same for a function with contrib_attention's signature. */
int32_t repeat_contrib_attention(int64_t calls,
                                 int32_t (*call)(const void *, const void *, const void *, const void *, const void *,
                                                 const void *),
                                 const void *resid_pre, const void *resid_mid, const void *decomposed_attn,
                                 const void *out_attn, const void *out_resid, const void *options) {
    for (int64_t i = 0; i < calls; i++) {
        int32_t status = call(resid_pre, resid_mid, decomposed_attn, out_attn, out_resid, options);
        if (status != 0)
            return status;
    }
    return 0;
}

#endif

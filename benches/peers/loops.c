/* The loops that one would write in C instead of calling contrib, over dense attention parts in f32.
 *
 * run.sh compiles this file twice: as the naive scalar loop (-O2 -fno-tree-vectorize), and as the loop of a careful
 * programmer (-Ofast -march=native -fopenmp), which the compiler vectorises and spreads over threads. */

#include <math.h>
#include <stdint.h>

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

/* What follows is for measuring, and only in the second library. */
#ifdef _OPENMP

/* Eight floats: a register of AVX. Not aligned more than a float. */
typedef float lanes __attribute__((vector_size(32), aligned(4)));

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

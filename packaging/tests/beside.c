/* Calls contrib, a pool of threads and an error among it, and one or two other Rust libraries, before and after. */
#include <contrib.h>

#include <stdio.h>
#include <stdlib.h>

int other_first(int number);
#ifdef SECOND
int other_second(int number);
#endif

enum { PARTS = 16, ROWS = 256, LENGTH = 512 };

static int others(int number) {
    int sum = other_first(number) - number - 1;
#ifdef SECOND
    sum += other_second(number) - number - 1;
#endif
    return sum == 0;
}

int main(void) {
    float *whole = calloc(ROWS * LENGTH, sizeof *whole), *parts = calloc((size_t)PARTS * ROWS * LENGTH, sizeof *parts);
    float *out = calloc(PARTS * ROWS, sizeof *out);
    double sum = 0;
    int i;
    if (whole == NULL || parts == NULL || out == NULL || !others(41))
        return 1;
    for (i = 0; i < ROWS * LENGTH; i++)
        whole[i] = (float)(i % 7);
    if (contrib_contributions(CONTRIB_TENSOR(whole, CONTRIB_F32, ROWS, LENGTH),
                              CONTRIB_TENSOR(parts, CONTRIB_F32, PARTS, ROWS, LENGTH),
                              CONTRIB_TENSOR(out, CONTRIB_F32, PARTS, ROWS), NULL) != CONTRIB_OK)
        return 2;
    for (i = 0; i < PARTS * ROWS; i++)
        sum += (double)out[i];
    if (contrib_contributions(NULL, NULL, NULL, NULL) != CONTRIB_ERROR_NULL_POINTER ||
        contrib_last_error_message()[0] == 0)
        return 3;
    free(whole);
    free(parts);
    free(out);
    return others(1) && sum > ROWS - 0.01 && sum < ROWS + 0.01 ? 0 : 4;
}

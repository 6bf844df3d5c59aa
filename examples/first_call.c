/* The smallest useful call: how much did each of three parts contribute to their sum? */
#include <contrib.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    float whole[4] = { 3, 1, 1, 3.5f };
    float parts[3][4] = { { 2, 0, 1, 3 }, { 1, 1, 0, 0 }, { 0, 0, 0, 0.5f } };
    float contributions[3];

    contrib_status status = contrib_contributions(CONTRIB_TENSOR(whole, CONTRIB_F32, 4),
                                                  CONTRIB_TENSOR(parts, CONTRIB_F32, 3, 4),
                                                  CONTRIB_TENSOR(contributions, CONTRIB_F32, 3), NULL);
    if (status != CONTRIB_OK) {
        fprintf(stderr, "%s: %s\n", contrib_status_name(status), contrib_last_error_message());
        return EXIT_FAILURE;
    }
    for (int i = 0; i < 3; i++)
        printf("part %d: %.3f\n", i, (double)contributions[i]); /* 0.706, 0.235, 0.059 */
    return EXIT_SUCCESS;
}

/* What someone who tries the library would write first. */
#include <contrib.h>

#include <math.h>
#include <stdio.h>

int main(void) {
    const float whole[4] = {3, 1, 1, 3.5f}, parts[3][4] = {{2, 0, 1, 3}, {1, 1, 0, 0}, {0, 0, 0, 0.5f}};
    float contributions[3];
    contrib_status status =
        contrib_contributions(CONTRIB_TENSOR(whole, CONTRIB_F32, 4), CONTRIB_TENSOR(parts, CONTRIB_F32, 3, 4),
                              CONTRIB_TENSOR(contributions, CONTRIB_F32, 3), NULL);
    if (status != CONTRIB_OK) {
        fprintf(stderr, "%s\n", contrib_last_error_message());
        return 1;
    }
    printf("contrib %s: %g %g %g\n", contrib_version(), (double)contributions[0], (double)contributions[1],
           (double)contributions[2]);
    return fabs((double)contributions[0] - 12.0 / 17) < 1e-6 && contrib_version_number() == CONTRIB_VERSION_NUMBER ? 0 : 1;
}

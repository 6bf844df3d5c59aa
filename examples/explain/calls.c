/* A status looked at. */
#include "calls.h"

#include "die.h"

void check_call(contrib_status status, const char *call)
{
    if (status != CONTRIB_OK)
        die("%s: %s: %s", call, contrib_status_name(status), contrib_last_error_message());
}

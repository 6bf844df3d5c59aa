/* The library on OpenMP's threads. Where other processes need the cores, too, OMP_WAIT_POLICY=passive keeps those that wait
 * from spinning.
 *
 * An engine built on ggml with GGML_OPENMP has its threads there, too: both then share one pool. Without it, ggml's
 * threadpool runs graphs and nothing else, but a graph of one `ggml_map_custom1` with `GGML_N_TASKS_MAX` is a parallel_for:
 * its function gets `ith` and `nth` on each thread and calls `task(task_data, i)` for i = ith, ith + nth, ... Build it and its
 * plan once, and let parallel_for compute it. A threadpool computes one graph at a time: where it is in use, return.
 */
#include "compare.h"

#include <omp.h>

static void parallel_for(void *user_data, size_t n_tasks, contrib_task task, void *task_data)
{
    (void)user_data;
    #pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < n_tasks; i++)
        task(task_data, i);
}

int main(void)
{
    contrib_context *context = NULL;
    int threads = omp_get_max_threads();
    must_be_ok(contrib_context_new_with_parallel_for((size_t)threads, parallel_for, NULL, &context));
    int status = compare_with_one_thread("OpenMP", context);
    contrib_context_free(context);
    return status;
}

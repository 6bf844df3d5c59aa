/* The library on a host's own pool: threads that sleep until there is a job, and take its tasks one by one. */
#include "compare.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* The calling thread is one more. */
enum { WORKERS = 3 };

struct pool {
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t wake, done;
    contrib_task task; /* of the job in progress, if there is one */
    void *task_data;
    size_t n_tasks, next, running;
    bool is_busy, ends;
};

static void *work(void *data)
{
    struct pool *pool = data;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->ends && pool->next == pool->n_tasks)
            pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->ends)
            break;
        contrib_task task = pool->task;
        void *task_data = pool->task_data;
        size_t index = pool->next++;
        pool->running++;
        pthread_mutex_unlock(&pool->lock);
        task(task_data, index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->running == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Task 0 is the calling thread's. When it returns there is nothing left to do: tasks that no worker has begun are left out,
 * so that nobody waits for a worker to wake up. */
static void parallel_for(void *user_data, size_t n_tasks, contrib_task task, void *task_data)
{
    struct pool *pool = user_data;
    pthread_mutex_lock(&pool->lock);
    if (pool->is_busy) { /* with another thread's call: this one does without */
        pthread_mutex_unlock(&pool->lock);
        return;
    }
    pool->is_busy = true;
    pool->task = task;
    pool->task_data = task_data;
    pool->n_tasks = n_tasks;
    pool->next = 1;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);

    task(task_data, 0);

    pthread_mutex_lock(&pool->lock);
    pool->next = pool->n_tasks;
    while (pool->running > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pool->is_busy = false;
    pthread_mutex_unlock(&pool->lock);
}

int main(void)
{
    struct pool pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER,
                         .done = PTHREAD_COND_INITIALIZER };
    pthread_t workers[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        if (pthread_create(&workers[i], NULL, work, &pool) != 0) {
            fprintf(stderr, "a thread cannot be started\n");
            return EXIT_FAILURE;
        }
    }

    contrib_context *context = NULL;
    must_be_ok(contrib_context_new_with_parallel_for(WORKERS + 1, parallel_for, &pool, &context));
    int status = compare_with_one_thread("a pool", context);
    contrib_context_free(context);

    pthread_mutex_lock(&pool.lock);
    pool.ends = true;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    return status;
}

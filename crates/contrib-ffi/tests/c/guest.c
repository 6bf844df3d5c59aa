/* The library as a guest in its host's process: forks, floating-point settings, signals, threads that cannot be started,
 * small stacks, contexts that come and go, contexts on the host's threads. In C11 with POSIX; prints a line for each check.
 */
#define _GNU_SOURCE 1
#define _DARWIN_C_SOURCE 1

#include <contrib.h>

#include <dirent.h>
#include <fenv.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failures;

static void check(int holds, const char *what) {
    printf("  %s: %s\n", holds ? "ok" : "FAILED", what);
    fflush(stdout);
    failures += !holds;
}

static void must(int holds, const char *what) {
    if (!holds) {
        printf("  FAILED: %s: %s\n", what, contrib_last_error_message());
        exit(1);
    }
}

static void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Calls, and the bits that they give. */

enum content {
    NORMAL,   /* numbers around 0 */
    HUGE_ONE, /* contributions as small as a subnormal number beside one that is almost 1 */
    WILD,     /* NaNs that signal, infinities, and squares that overflow */
    TINY,     /* subnormal contributions, for a threshold */
};

struct job {
    const char *name;
    enum content content;
    uint8_t in_bits, out_bits;
    int64_t wholes, parts, length; /* a threshold has `wholes` representations of `parts` blocks */
    double norm;
    unsigned char *whole, *many, *expected;
};

/* The last of a name says on which side of the 2^18 elements it is from which on a call uses threads. */
static struct job jobs[] = {
    {"12 parts of f32, small", NORMAL, 32, 32, 1, 12, 768, 1.0, NULL, NULL, NULL},
    {"3 wholes of f64, small", NORMAL, 64, 64, 3, 5, 33, 2.7, NULL, NULL, NULL},
    {"one whole of f32, large", NORMAL, 32, 32, 1, 400, 768, 2.0, NULL, NULL, NULL},
    {"64 wholes of f32, large", NORMAL, 32, 64, 64, 48, 128, 2.7, NULL, NULL, NULL},
    {"64 wholes of f64, large", NORMAL, 64, 32, 64, 48, 128, 1.0, NULL, NULL, NULL},
    {"subnormal results in f64, small", HUGE_ONE, 64, 64, 2, 9, 70, 1.0, NULL, NULL, NULL},
    {"subnormal results in f32, small", HUGE_ONE, 64, 32, 2, 9, 70, INFINITY, NULL, NULL, NULL},
    {"subnormal results in f64, large", HUGE_ONE, 64, 64, 60, 30, 150, 1.0, NULL, NULL, NULL},
    {"subnormal results in f32, large", HUGE_ONE, 64, 32, 60, 30, 150, 2.0, NULL, NULL, NULL},
    {"NaN and overflow in f64, small", WILD, 64, 64, 8, 9, 70, 2.0, NULL, NULL, NULL},
    {"NaN and overflow to f32, large", WILD, 64, 32, 60, 30, 150, 2.7, NULL, NULL, NULL},
    {"NaN and overflow in f64, large", WILD, 64, 64, 60, 30, 150, INFINITY, NULL, NULL, NULL},
    {"NaN in f32, large", WILD, 32, 32, 60, 30, 150, 1.0, NULL, NULL, NULL},
    {"threshold of subnormals in f64, small", TINY, 64, 64, 5, 7, 0, 1.0, NULL, NULL, NULL},
    {"threshold of subnormals in f32, small", TINY, 32, 32, 5, 7, 0, 1.0, NULL, NULL, NULL},
    {"threshold of subnormals in f64, large", TINY, 64, 64, 600, 500, 0, 1.0, NULL, NULL, NULL},
};

#define JOBS (sizeof jobs / sizeof *jobs)

static uint64_t random_state = 1;

/* Evenly distributed from -1 to 1. */
static double random_number(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(random_state >> 11) / (double)((int64_t)1 << 52) - 1.0;
}

static double content_of(const struct job *job, int64_t part, int64_t whole) {
    double number = random_number();
    switch (job->content) {
        case NORMAL: return part < 0 ? 3.0 * number : number;
        case HUGE_ONE: {
            /* The first part is the whole, the others are opposed to it. */
            double huge = job->out_bits == 64 ? 1e302 : 1e36;
            return part <= 0 ? huge : -huge * (1.5 + 0.25 * number);
        }
        case WILD:
            if (whole % 4 == 3) {
                return number;
            }
            if (number > 0.9) {
                return job->in_bits == 64 ? 1e300 * number : 3e38 * number;
            }
            return number < -0.99 ? (part % 2 == 0 ? INFINITY : 1e-310) : number;
        case TINY: return (job->in_bits == 64 ? 1e-309 : 1e-39) * (number + 1.0);
    }
    return 0.0;
}

static void fill(const struct job *job, unsigned char *to, int64_t parts, int64_t first_part) {
    int64_t length = job->content == TINY ? 1 : job->length;
    for (int64_t i = 0; i < parts * job->wholes * length; i++) {
        int64_t whole = i / length % job->wholes;
        double number = content_of(job, first_part < 0 ? -1 : i / length / job->wholes, whole);
        /* A NaN that signals: its bits, since a number of C might lose it. */
        int signals = job->content == WILD && whole % 4 == 1 && i % 997 == 0;
        if (job->in_bits == 64) {
            uint64_t signalling = 0x7ff0000000000001u;
            memcpy(to + 8 * i, signals ? (void *)&signalling : (void *)&number, 8);
        } else {
            uint32_t signalling = 0x7f800001u;
            float single = (float)number;
            memcpy(to + 4 * i, signals ? (void *)&signalling : (void *)&single, 4);
        }
    }
}

static contrib_tensor tensor_of(void *data, uint8_t bits, int32_t ndim, int64_t *shape) {
    contrib_tensor tensor = {data, CONTRIB_DEVICE_CPU, 0, ndim, {CONTRIB_DTYPE_FLOAT, bits, 1}, shape, NULL, 0};
    return tensor;
}

static size_t result_bytes(const struct job *job) {
    return (size_t)(job->wholes * (job->parts + (job->content == TINY)) * job->out_bits / 8);
}

static contrib_status run(const struct job *job, const contrib_context *context, unsigned char *out) {
    contrib_options options = CONTRIB_OPTIONS_INIT;
    int64_t parts_shape[3] = {job->parts, job->wholes, job->length}, blocks_shape[2] = {job->wholes, job->parts};
    options.norm = job->norm;
    options.context = context;
    if (job->content == TINY) {
        contrib_tensor residual = tensor_of(job->whole, job->in_bits, 1, blocks_shape);
        contrib_tensor blocks = tensor_of(job->many, job->in_bits, 2, blocks_shape);
        contrib_tensor out_residual = tensor_of(out, job->out_bits, 1, blocks_shape);
        contrib_tensor out_blocks = tensor_of(out + job->wholes * job->out_bits / 8, job->out_bits, 2, blocks_shape);
        return contrib_threshold_and_renormalise(&blocks, &residual, 0.0, &out_blocks, &out_residual, &options);
    }
    contrib_tensor whole = tensor_of(job->whole, job->in_bits, 2, parts_shape + 1);
    contrib_tensor parts = tensor_of(job->many, job->in_bits, 3, parts_shape);
    contrib_tensor results = tensor_of(out, job->out_bits, 2, parts_shape);
    return contrib_contributions(&whole, &parts, &results, &options);
}

/* Memory for the results of a process that can have no more, and has one thread. */
static unsigned char *last_memory;

static int is_same(const struct job *job, const contrib_context *context) {
    unsigned char *out = last_memory != NULL ? last_memory : malloc(result_bytes(job));
    int same = out != NULL;
    if (same) {
        memset(out, 0xa5, result_bytes(job));
        same = run(job, context, out) == CONTRIB_OK && memcmp(out, job->expected, result_bytes(job)) == 0;
    }
    if (out != last_memory) {
        free(out);
    }
    return same;
}

static int all_same(const contrib_context *context) {
    int same = 1;
    for (size_t i = 0; i < JOBS; i++) {
        if (!is_same(&jobs[i], context)) {
            printf("    other bits: %s\n", jobs[i].name);
            fflush(stdout);
            same = 0;
        }
    }
    return same;
}

static contrib_context *new_context(size_t threads) {
    contrib_context *context = NULL;
    must(contrib_context_new(threads, &context) == CONTRIB_OK, "contrib_context_new");
    return context;
}

/* Threads of a host. */

struct host_task {
    contrib_task task;
    void *data;
    size_t index;
};

static void *run_host_task(void *data) {
    const struct host_task *task = data;
    task->task(task->data, task->index);
    return NULL;
}

/* A thread for each task, with the stack that `user_data` says. What cannot be started is left out. */
static void on_new_threads(void *user_data, size_t n_tasks, contrib_task task, void *task_data) {
    const pthread_attr_t *attributes = user_data;
    pthread_t threads[8];
    struct host_task tasks[8];
    size_t started = 0;
    for (size_t i = 0; i < n_tasks && i < 8; i++) {
        struct host_task own = {task, task_data, i};
        tasks[started] = own;
        started += pthread_create(&threads[started], attributes, run_host_task, &tasks[started]) == 0;
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void in_reverse(void *user_data, size_t n_tasks, contrib_task task, void *task_data) {
    (void)user_data;
    while (n_tasks-- > 0) {
        task(task_data, n_tasks);
    }
}

static void nothing(void *user_data, size_t n_tasks, contrib_task task, void *task_data) {
    (void)user_data, (void)n_tasks, (void)task, (void)task_data;
}

static void the_last_twice(void *user_data, size_t n_tasks, contrib_task task, void *task_data) {
    (void)user_data;
    task(task_data, n_tasks - 1);
    task(task_data, n_tasks - 1);
}

static contrib_context *host_context(size_t threads, contrib_parallel_for parallel_for, void *user_data) {
    contrib_context *context = NULL;
    must(contrib_context_new_with_parallel_for(threads, parallel_for, user_data, &context) == CONTRIB_OK,
         "contrib_context_new_with_parallel_for");
    return context;
}

/* The inputs, and the bits that a context of one thread gives for them where the host has changed nothing. */
static void make_jobs(void) {
    contrib_context *context = new_context(1);
    for (size_t i = 0; i < JOBS; i++) {
        struct job *job = &jobs[i];
        size_t whole = (size_t)(job->wholes * (job->content == TINY ? 1 : job->length) * job->in_bits / 8);
        job->whole = malloc(whole);
        job->many = malloc(whole * (size_t)job->parts);
        job->expected = malloc(result_bytes(job));
        must(job->whole != NULL && job->many != NULL && job->expected != NULL, "malloc");
        fill(job, job->whole, 1, -1);
        fill(job, job->many, job->parts, 0);
        must(run(job, context, job->expected) == CONTRIB_OK, job->name);
    }
    contrib_context_free(context);
}

/* Whether the results of this job have a subnormal number and no zero: otherwise it would show nothing. */
static int has_subnormals(const struct job *job) {
    int subnormals = 0, zeros = 0;
    for (size_t i = 0; i < result_bytes(job); i += job->out_bits / 8) {
        double number;
        float single;
        if (job->out_bits == 64) {
            memcpy(&number, job->expected + i, 8);
            subnormals += fpclassify(number) == FP_SUBNORMAL;
            zeros += number == 0.0;
        } else {
            memcpy(&single, job->expected + i, 4);
            subnormals += fpclassify(single) == FP_SUBNORMAL;
            zeros += single == 0.0f;
        }
    }
    return subnormals > 0 && zeros == 0;
}

static void jobs_show_what_they_are_for(void) {
    for (size_t i = 0; i < JOBS; i++) {
        const struct job *job = &jobs[i];
        int64_t work = job->wholes * (job->parts + (job->content == TINY)) * (job->content == TINY ? 1 : job->length);
        int large = strstr(job->name, "large") != NULL;
        must((work >= 1 << 18) == large, "a job is as large as it says");
        must(job->content != HUGE_ONE || has_subnormals(job), "a job has the subnormal results that it says");
    }
}

/* What a test in a child says where it cannot be made on this machine. */
#define SKIPPED 77

/* Runs a test in a child, which has 20 seconds; its exit status is the number of what failed. */
static int in_child(int (*test)(void)) {
    int status = -1;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(20);
        _exit(test());
    }
    must(child > 0 && waitpid(child, &status, 0) == child, "fork and waitpid");
    if (WIFSIGNALED(status)) {
        printf("    the child was ended by signal %d%s\n", WTERMSIG(status),
               WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    } else if (WEXITSTATUS(status) == SKIPPED) {
        printf("    skipped, on this machine:\n");
        return 1;
    } else if (WEXITSTATUS(status) != 0) {
        printf("    the child says %d\n", WEXITSTATUS(status));
    }
    fflush(stdout);
    return status == 0;
}

static void check_in_child(int (*test)(void), const char *what) {
    check(in_child(test), what);
}

/* Threads of the process, where the system says it; -1 elsewhere. */
static int count_threads(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return -1;
    }
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        count += task->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}

/* Whether there are so many threads, at once or after a while. */
static int threads_become(int expected) {
    for (int tries = 0; tries < 500 && count_threads() != expected; tries++) {
        sleep_ms(10);
    }
    return count_threads() == expected;
}

/* fork(). */

static contrib_context *of_parent;

static int works_after_fork(void) {
    contrib_context *own = NULL;
    if (contrib_context_threads(of_parent) != 1) {
        return 1;
    }
    if (!all_same(of_parent)) {
        return 2;
    }
    if (!all_same(NULL)) {
        return 3;
    }
    contrib_context_free(of_parent);
    if (contrib_context_new(2, &own) != CONTRIB_OK || contrib_context_threads(own) != 2) {
        return 4;
    }
    if (!all_same(own)) {
        return 5;
    }
    contrib_context_free(own);
    return all_same(NULL) ? 0 : 6;
}

static int grandchild_works(void) {
    return !is_same(&jobs[2], of_parent) || !in_child(works_after_fork);
}

static int frees_after_fork(void) {
    contrib_context_free(of_parent);
    return 0;
}

static int calls_after_fork(void) {
    int same = is_same(&jobs[2], of_parent) && is_same(&jobs[3], of_parent) && is_same(&jobs[2], NULL) &&
               is_same(&jobs[3], NULL);
    contrib_context_free(of_parent);
    return !same;
}

#if defined(__linux__)

/* Process 1 is not ended by a signal that it does not handle. */
static void hangs(int number) {
    (void)number;
    _exit(15);
}

static int works_as_child_with_number_1(void) {
    signal(SIGALRM, hangs);
    return getpid() == 1 ? works_after_fork() : 14;
}

/* Process 1 of a new PID namespace makes a context and forks process 1 of another one: the child has its parent's number. */
static int works_as_process_1_of_process_1(void) {
    if (getpid() != 1) {
        return 10;
    }
    of_parent = new_context(2);
    if (contrib_context_threads(of_parent) != 2 || !all_same(of_parent) || !all_same(NULL)) {
        return 11;
    }
    if (unshare(CLONE_NEWPID) != 0) {
        return SKIPPED;
    }
    return in_child(works_as_child_with_number_1) ? 0 : 12;
}

static int works_in_new_namespaces(void) {
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
        return SKIPPED;
    }
    return in_child(works_as_process_1_of_process_1) ? 0 : 13;
}

#endif

static atomic_int stop;

static void *keep_calling(void *different) {
    while (!atomic_load(&stop)) {
        if (!is_same(&jobs[2], of_parent) || !is_same(&jobs[3], NULL)) {
            *(int *)different = 1;
        }
    }
    return NULL;
}

static void forks(void) {
    of_parent = new_context(2);
    check(contrib_context_threads(of_parent) == 2, "a context of two threads has two");
    check(all_same(of_parent) && all_same(NULL), "before fork(): the same bits on a pool as without");
    check_in_child(works_after_fork, "in a child after fork(): the parent's contexts run inline, and can be freed");
    check_in_child(grandchild_works, "in a child's child: the same");
#if defined(__linux__)
    check_in_child(works_in_new_namespaces, "in a child with its parent's process number: the same");
#endif
    check(contrib_context_threads(of_parent) == 2 && all_same(of_parent) && all_same(NULL),
          "after fork(): the parent goes on with its threads");

    int well = 1;
    for (int i = 0; i < 50 && well; i++) {
        well = is_same(&jobs[2], of_parent) && in_child(frees_after_fork);
    }
    check(well, "fork() just after a call, 50 times: the child can free the context");

    pthread_t caller;
    int different = 0;
    atomic_store(&stop, 0);
    must(pthread_create(&caller, NULL, keep_calling, &different) == 0, "pthread_create");
    for (int i = 0; i < 100 && well; i++) {
        well = in_child(calls_after_fork);
    }
    atomic_store(&stop, 1);
    pthread_join(caller, NULL);
    check(well && !different, "fork() while another thread is in a call, 100 times: calls in the child return, and freeing");
    contrib_context_free(of_parent);
}

/* Floating-point settings. */

#if defined(__x86_64__)
#define CAN_FLUSH 1
static uint64_t register_of_settings(void) {
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return mxcsr;
}
static void flush_subnormals(void) {
    uint32_t mxcsr = (uint32_t)register_of_settings() | 0x8040;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}
#elif defined(__aarch64__)
#define CAN_FLUSH 1
static uint64_t register_of_settings(void) {
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}
static void flush_subnormals(void) {
    uint64_t fpcr = register_of_settings() | (uint64_t)1 << 24;
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
}
#else
#define CAN_FLUSH 0
static uint64_t register_of_settings(void) {
    return 0;
}
static void flush_subnormals(void) {
}
#endif

struct settings {
    const char *name;
    int rounding, flush, traps;
};

static const struct settings all_settings[] = {
    {"defaults", FE_TONEAREST, 0, 0},
    {"rounding upward", FE_UPWARD, 0, 0},
    {"rounding downward", FE_DOWNWARD, 0, 0},
    {"rounding toward zero", FE_TOWARDZERO, 0, 0},
#if CAN_FLUSH
    {"subnormals as zero", FE_TONEAREST, 1, 0},
    {"subnormals as zero, rounding upward", FE_UPWARD, 1, 0},
#endif
#if defined(__GLIBC__)
    {"traps", FE_TONEAREST, 0, FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW},
#endif
};

#define SETTINGS (sizeof all_settings / sizeof *all_settings)

static void set(const struct settings *settings) {
    fesetenv(FE_DFL_ENV);
    fesetround(settings->rounding);
    if (settings->flush) {
        flush_subnormals();
    }
#if defined(__GLIBC__)
    /* Arm's processors may have none: then there is nothing to see. */
    feenableexcept(settings->traps);
#endif
}

/* What a call does not leave as it was, where flags are none before it and where they are two: NULL if nothing. `fails`:
 * a call that fails instead. */
static const char *what_changes(const struct job *job, const contrib_context *context, int fails) {
    unsigned char *out = malloc(result_bytes(job));
    struct job failing = *job;
    const char *changes = NULL;
    must(out != NULL, "malloc");
    failing.norm = fails ? NAN : job->norm;
    for (int raised = 0; raised < 2; raised++) {
        int flags, flags_after, rounding = fegetround();
        uint64_t before, after;
        contrib_status status;
        feclearexcept(FE_ALL_EXCEPT);
        if (raised) {
            feraiseexcept(FE_INEXACT | FE_UNDERFLOW);
        }
        flags = fetestexcept(FE_ALL_EXCEPT);
        before = register_of_settings();
        status = run(&failing, context, out);
        after = register_of_settings();
        flags_after = fetestexcept(FE_ALL_EXCEPT);
        if (status != (fails ? CONTRIB_ERROR_NORM : CONTRIB_OK)) {
            changes = "status";
        } else if (!fails && memcmp(out, job->expected, result_bytes(job)) != 0) {
            changes = "bits";
        } else if (flags_after != flags) {
            changes = "exception flags";
        } else if (before != after || fegetround() != rounding) {
            changes = "settings";
        }
    }
    free(out);
    return changes;
}

static const struct settings *the_settings;

/* In a child, since the shared pool is started only once. */
static int pools_started_under_settings_work(void) {
    contrib_context *context = NULL;
    uint64_t before;
    set(the_settings);
    before = register_of_settings();
    if (contrib_context_new(2, &context) != CONTRIB_OK || contrib_context_threads(context) != 2) {
        return 1;
    }
    if (!is_same(&jobs[2], NULL) || !all_same(context) || !all_same(NULL)) {
        return 2;
    }
    /* The exception flags may be those of this program. */
    if (((register_of_settings() ^ before) & ~(uint64_t)0x3f) != 0) {
        return 3;
    }
    fesetenv(FE_DFL_ENV);
    if (!all_same(context) || !all_same(NULL)) {
        return 4;
    }
    contrib_context_free(context);
    return 0;
}

static void floating_point_before_the_shared_pool(void) {
    char what[128];
    for (size_t i = 0; i < SETTINGS; i++) {
        the_settings = &all_settings[i];
        snprintf(what, sizeof what, "%s: pools that are started under them give the same bits", the_settings->name);
        check_in_child(pools_started_under_settings_work, what);
    }
}

/* In a child, so that a trap is a failure of this check alone. */
static int settings_stay(void) {
    contrib_context *contexts[] = {new_context(1), new_context(2), host_context(3, in_reverse, NULL),
                                   host_context(3, on_new_threads, NULL), NULL};
    int changed = 0;
    set(the_settings);
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < JOBS; j++) {
            const char *changes = what_changes(&jobs[j], contexts[i], 0);
            if (changes == NULL && jobs[j].content != TINY) {
                changes = what_changes(&jobs[j], contexts[i], 1);
            }
            if (changes != NULL && !changed) {
                printf("    other %s: %s\n", changes, jobs[j].name);
                fflush(stdout);
            }
            changed |= changes != NULL;
        }
    }
    fesetenv(FE_DFL_ENV);
    for (size_t i = 0; i < 5; i++) {
        contrib_context_free(contexts[i]);
    }
    return changed;
}

static void floating_point(void) {
    char what[128];
    for (size_t i = 0; i < SETTINGS; i++) {
        the_settings = &all_settings[i];
        snprintf(what, sizeof what, "%s: the same bits, and settings and flags as they were", the_settings->name);
        check_in_child(settings_stay, what);
    }
}

/* Signals. */

static pthread_t host;
static atomic_int handled_by_host, handled_by_others;

static void handle(int number) {
    (void)number;
    atomic_fetch_add(pthread_equal(pthread_self(), host) ? &handled_by_host : &handled_by_others, 1);
}

static int same_set(const sigset_t *a, const sigset_t *b) {
    int same = 1;
    for (int number = 1; number < 32; number++) {
        same &= sigismember(a, number) == sigismember(b, number);
    }
    return same;
}

/* Whether threads of the library block the signals of a host, and take those that they cause themselves. -1 where the
 * system does not say. */
static int workers_block(int expected) {
    const int hosts[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGPROF, SIGTSTP};
    const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    int workers = 0, well = 1;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return -1;
    }
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        char path[300], line[200];
        unsigned long long blocked = 0;
        int is_worker = 0;
        FILE *status;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        status = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            is_worker |= strncmp(line, "Name:\tcontrib-", 14) == 0;
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        if (status != NULL) {
            fclose(status);
        }
        if (is_worker) {
            workers++;
            for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
                well &= (blocked >> (hosts[i] - 1) & 1) == 1;
            }
            for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
                well &= (blocked >> (own[i] - 1) & 1) == 0;
            }
        }
    }
    closedir(tasks);
    return well && workers >= expected;
}

/* In a child, whose shared pool is not started yet. */
static int starting_threads_leaves_the_mask(void) {
    sigset_t mask, before, after;
    contrib_context *context = NULL;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    sigprocmask(SIG_SETMASK, NULL, &before);
    if (contrib_context_new(2, &context) != CONTRIB_OK || !is_same(&jobs[2], NULL)) {
        return 1;
    }
    sigprocmask(SIG_SETMASK, NULL, &after);
    contrib_context_free(context);
    return same_set(&before, &after) ? 0 : 2;
}

static void signals(void) {
    contrib_context *context = new_context(3);
    struct sigaction action, old_action;
    sigset_t user, pending;
    int workers = -1, waited = 1, number = 0, well = 1;
    must(is_same(&jobs[2], context) && is_same(&jobs[2], NULL), "calls on both pools");

    /* A thread names itself when it begins to run. */
    for (int tries = 0; tries < 200 && (workers = workers_block(2)) == 0; tries++) {
        sleep_ms(10);
    }
    check(workers != 0, "the library's threads block the signals of a host, and none of their own faults");

    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    sigaction(SIGUSR1, &action, &old_action);
    host = pthread_self();
    for (int i = 0; i < 1000; i++) {
        kill(getpid(), SIGUSR1);
        if (i % 20 == 0) {
            well &= is_same(&jobs[2], i % 40 == 0 ? context : NULL);
        }
    }
    check(well && handled_by_host > 0 && handled_by_others == 0, "signals to the process come to the host's thread");

    /* Where the host's threads block a signal, no other thread may take it: it waits for sigwait(). */
    atomic_store(&handled_by_host, 0);
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &user, NULL);
    for (int i = 0; i < 1000; i++) {
        kill(getpid(), SIGUSR1);
        if (i % 20 == 0) {
            well &= is_same(&jobs[2], i % 40 == 0 ? context : NULL);
        }
        sigpending(&pending);
        if (sigismember(&pending, SIGUSR1) != 1) {
            waited = 0;
            break;
        }
        sigwait(&user, &number);
    }
    pthread_sigmask(SIG_UNBLOCK, &user, NULL);
    check(well && waited && handled_by_host == 0 && handled_by_others == 0,
          "signals that the host blocks wait for its sigwait()");
    sigaction(SIGUSR1, &old_action, NULL);
    contrib_context_free(context);
}

/* Threads that cannot be started. */

static int runs_inline(void) {
    for (size_t threads = 2; threads <= 128; threads *= 8) {
        contrib_context *context = NULL;
        if (contrib_context_new(threads, &context) != CONTRIB_OK) {
            return 1;
        }
        if (contrib_context_threads(context) != 1) {
            return 2;
        }
        if (!all_same(context)) {
            return 3;
        }
        contrib_context_free(context);
    }
    if (!all_same(NULL)) {
        return 4;
    }
    return count_threads() == -1 || threads_become(1) ? 0 : 5;
}

static int no_more_threads_than_none(void) {
    struct rlimit none = {0, 0};
    if (geteuid() == 0 && setuid(65534) != 0) {
        return SKIPPED;
    }
    return setrlimit(RLIMIT_NPROC, &none) != 0 ? SKIPPED : runs_inline();
}

/* Leaves the process so many megabytes more than it has. */
static int leave_memory(unsigned long megabytes) {
    unsigned long pages = 0;
    size_t most = 0;
    struct rlimit limit;
    FILE *statm;
    int is_read;
    for (size_t i = 0; i < JOBS; i++) {
        most = result_bytes(&jobs[i]) > most ? result_bytes(&jobs[i]) : most;
    }
    last_memory = malloc(most);
    must(last_memory != NULL, "malloc");
    statm = fopen("/proc/self/statm", "r");
    is_read = statm != NULL && fscanf(statm, "%lu", &pages) == 1;
    if (statm != NULL) {
        fclose(statm);
    }
    limit.rlim_cur = limit.rlim_max = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)megabytes << 20);
    return is_read && setrlimit(RLIMIT_AS, &limit) == 0;
}

static int no_memory_for_stacks(void) {
    return leave_memory(0) ? runs_inline() : SKIPPED;
}

static int memory_for_few_stacks(void) {
    contrib_context *context = NULL;
    if (!leave_memory(40)) {
        return SKIPPED;
    }
    if (contrib_context_new(500, &context) != CONTRIB_OK) {
        return 1;
    }
    if (contrib_context_threads(context) != 1 || !all_same(context)) {
        return 2;
    }
    contrib_context_free(context);
    return threads_become(1) ? 0 : 3;
}

/* Before this process has any other thread, whose stack might be used again. */
static void threads_that_cannot_be_started(void) {
#if defined(__linux__)
    check_in_child(no_more_threads_than_none, "no thread can be started: everything runs inline");
    check_in_child(no_memory_for_stacks, "no memory for a thread's stack: everything runs inline");
    check_in_child(memory_for_few_stacks, "memory for some of the stacks: everything runs inline, and they end");
#else
    (void)no_more_threads_than_none;
    (void)no_memory_for_stacks;
    (void)memory_for_few_stacks;
#endif
}

/* Many threads of the host. */

#define HOSTS 8

static const contrib_context *of_hosts[2];

static void *call_everything(void *different) {
    for (size_t round = 0; round < 2 * JOBS; round++) {
        /* Each host begins with another call. */
        size_t index = round + (size_t)((int *)different)[1];
        if (!is_same(&jobs[index % JOBS], of_hosts[index / JOBS % 2])) {
            *(int *)different = 1;
        }
    }
    return NULL;
}

/* Attributes of threads with stacks of 64 KiB. */
static void init_small(pthread_attr_t *small) {
    pthread_attr_init(small);
    /* Some systems ask for more. */
    size_t least = (size_t)PTHREAD_STACK_MIN;
    must(pthread_attr_setstacksize(small, least > 64 * 1024 ? least : 64 * 1024) == 0, "pthread_attr_setstacksize");
}

/* Whether results differ on any of 8 threads with these attributes, which use `of_hosts` at the same time. */
static int differ_on_hosts(const pthread_attr_t *attributes) {
    pthread_t threads[HOSTS];
    int different[HOSTS][2], any = 0;
    for (int i = 0; i < HOSTS; i++) {
        different[i][0] = 0;
        different[i][1] = 5 * i;
        must(pthread_create(&threads[i], attributes, call_everything, different[i]) == 0, "pthread_create");
    }
    for (int i = 0; i < HOSTS; i++) {
        pthread_join(threads[i], NULL);
        any |= different[i][0];
    }
    return any;
}

static void many_hosts(void) {
    contrib_context *context = new_context(2);
    pthread_attr_t small;
    of_hosts[0] = context;
    of_hosts[1] = NULL;
    init_small(&small);
    int any = differ_on_hosts(&small);
    pthread_attr_destroy(&small);
    contrib_context_free(context);
    check(!any, "8 threads with stacks of 64 KiB, on one context and on none: the same bits");
}

static void many_contexts(void) {
    int before, well = 1;
    must(is_same(&jobs[2], NULL), "a call on the shared pool");
    /* Threads of contexts that were freed earlier may still be ending. */
    for (int now = -2, tries = 0; tries < 20 && now != count_threads(); tries++) {
        now = count_threads();
        sleep_ms(50);
    }
    before = count_threads();
    for (size_t i = 0; i < 200; i++) {
        contrib_context *context = new_context(1 + i % 4);
        well &= contrib_context_threads(context) == 1 + i % 4;
        well &= i % 5 == 0 || is_same(&jobs[2], context);
        contrib_context_free(context);
    }
    check(well, "200 contexts are made, used and freed");
    check(threads_become(before), "and leave no thread behind");
}

/* Contexts on the host's threads. */

/* Tasks that had other settings than the call. */
static atomic_int other_settings;

static void under_the_callers_settings(void *user_data, size_t n_tasks, contrib_task task, void *task_data) {
    uint64_t expected = *(const uint64_t *)user_data & ~(uint64_t)0x3f;
    atomic_fetch_add(&other_settings, (register_of_settings() & ~(uint64_t)0x3f) != expected);
    for (size_t i = 0; i < n_tasks; i++) {
        task(task_data, i);
        atomic_fetch_add(&other_settings, (register_of_settings() & ~(uint64_t)0x3f) != expected);
    }
}

static int host_keeps_its_settings(void) {
    uint64_t settings;
    contrib_context *context = host_context(3, under_the_callers_settings, &settings);
    set(the_settings);
    settings = register_of_settings();
    int same = all_same(context);
    fesetenv(FE_DFL_ENV);
    contrib_context_free(context);
    return !same || other_settings != 0;
}

static int host_context_works_after_fork(void) {
    if (contrib_context_threads(of_parent) != 3 || !all_same(of_parent)) {
        return 1;
    }
    contrib_context_free(of_parent);
    return 0;
}

static void threads_of_the_host(void) {
    pthread_attr_t small;
    int well = 1;
    char what[128];
    init_small(&small);

    const contrib_parallel_for all[] = {on_new_threads, in_reverse, nothing, the_last_twice};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        contrib_context *context = host_context(5, all[i], i == 0 ? &small : NULL);
        well &= contrib_context_threads(context) == 5 && all_same(context);
        contrib_context_free(context);
    }
    check(well, "on the host's threads, with stacks of 64 KiB, or where the host does little: the same bits");

    of_parent = host_context(3, on_new_threads, &small);
    of_hosts[0] = of_hosts[1] = of_parent;
    check(!differ_on_hosts(&small), "8 threads on one context of the host at the same time: the same bits");
    check_in_child(host_context_works_after_fork, "in a child after fork(): the host is called as before");
    contrib_context_free(of_parent);
    pthread_attr_destroy(&small);

    for (size_t i = 0; i < SETTINGS; i++) {
        the_settings = &all_settings[i];
        snprintf(what, sizeof what, "%s: the host's function has them, too", the_settings->name);
        check_in_child(host_keeps_its_settings, what);
    }

    contrib_context *none = NULL;
    check(contrib_context_new_with_parallel_for(2, NULL, NULL, &none) == CONTRIB_ERROR_NULL_POINTER &&
              contrib_context_new_with_parallel_for(2, nothing, NULL, NULL) == CONTRIB_ERROR_NULL_POINTER &&
              contrib_context_new_with_parallel_for(0, nothing, NULL, &none) == CONTRIB_ERROR_NUMBER &&
              contrib_context_new_with_parallel_for(1025, nothing, NULL, &none) == CONTRIB_ERROR_TOO_MANY_THREADS &&
              none == NULL,
          "no function, no place for the context, no threads and too many are refused");
}

int main(void) {
    alarm(240);
    make_jobs();
    jobs_show_what_they_are_for();
    threads_that_cannot_be_started();
    check_in_child(starting_threads_leaves_the_mask, "starting threads leaves the caller's signal mask as it was");
    floating_point_before_the_shared_pool();
    forks();
    floating_point();
    signals();
    many_hosts();
    many_contexts();
    threads_of_the_host();
    return failures > 0;
}

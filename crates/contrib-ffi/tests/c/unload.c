/* The shared library, whose path is the argument, is loaded, used, and unloaded: its threads may not lose their code. In
 * C11 with POSIX.
 */
#define _GNU_SOURCE 1
#define _DARWIN_C_SOURCE 1

#include <contrib.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20
#define THREADS 3
#define PARTS 400
#define LENGTH 768

static const char *path;
static float whole[LENGTH], parts[PARTS][LENGTH], expected[PARTS];

static void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void must(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "unload.c: %s\n", what);
        exit(1);
    }
}

struct library {
    void *handle;
    contrib_status (*contributions)(const contrib_tensor *, const contrib_tensor *, const contrib_tensor *,
                                    const contrib_options *);
    contrib_status (*context_new)(size_t, contrib_context **);
    void (*context_free)(contrib_context *);
    const char *(*last_error_message)(void);
};

/* ISO C has no conversion from an object's address to a function's. */
static void find(void *handle, const char *name, void *function) {
    void *address = dlsym(handle, name);
    must(address != NULL, name);
    memcpy(function, &address, sizeof address);
}

static struct library load(void) {
    struct library library;
    library.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    must(library.handle != NULL, "dlopen");
    find(library.handle, "contrib_contributions", &library.contributions);
    find(library.handle, "contrib_context_new", &library.context_new);
    find(library.handle, "contrib_context_free", &library.context_free);
    find(library.handle, "contrib_last_error_message", &library.last_error_message);
    return library;
}

/* A call that is large enough for threads. */
static void call(const struct library *library, const contrib_context *context, float *out) {
    int64_t shape[2] = {PARTS, LENGTH};
    contrib_dtype float32 = {CONTRIB_DTYPE_FLOAT, 32, 1};
    contrib_tensor w = {whole, CONTRIB_DEVICE_CPU, 0, 1, float32, &shape[1], NULL, 0};
    contrib_tensor x = {parts, CONTRIB_DEVICE_CPU, 0, 2, float32, shape, NULL, 0};
    contrib_tensor o = {out, CONTRIB_DEVICE_CPU, 0, 1, float32, shape, NULL, 0};
    contrib_options options = CONTRIB_OPTIONS_INIT;
    options.context = context;
    must(library->contributions(&w, &x, &o, &options) == CONTRIB_OK, "contrib_contributions");
}

/* Both pools, and a failure, whose sentence is kept for the thread. */
static void use(const struct library *library, int frees) {
    contrib_context *context = NULL;
    float out[2][PARTS];
    must(library->context_new(2, &context) == CONTRIB_OK, "contrib_context_new");
    call(library, context, out[0]);
    call(library, NULL, out[1]);
    must(memcmp(out[0], expected, sizeof expected) == 0, "other bits with a context");
    must(memcmp(out[1], expected, sizeof expected) == 0, "other bits without a context");
    must(library->contributions(NULL, NULL, NULL, NULL) == CONTRIB_ERROR_NULL_POINTER, "a failure");
    must(library->last_error_message()[0] != '\0', "no sentence for a failure");
    if (frees) {
        library->context_free(context);
    }
}

/* In odd rounds the thread that has used the library unloads it, too, and lives on a little. */
static void *one_thread(void *round) {
    int number = *(int *)round;
    struct library library = load();
    use(&library, number % 4 < 2);
    if (number % 2 == 1) {
        must(dlclose(library.handle) == 0, "dlclose");
        sleep_ms(5);
        return NULL;
    }
    return library.handle;
}

/* A thread may still run the library's code when its last user unloads it: it stays, even if nothing was called yet. */
static void stays_when_it_is_unloaded(void) {
#if defined(__linux__)
    struct library library = load();
    void *again;
    must(dlclose(library.handle) == 0, "dlclose");
    again = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    must(again != NULL, "the library is gone after dlclose()");
    must(dlclose(again) == 0, "dlclose");
    printf("  ok: stays in memory after dlclose()\n");
#endif
}

int main(int argc, char **argv) {
    must(argc == 2, "the argument is the path of the shared library");
    path = argv[1];
    alarm(120);
    stays_when_it_is_unloaded();
    for (int i = 0; i < PARTS * LENGTH; i++) {
        parts[i / LENGTH][i % LENGTH] = (float)((i * 7919L) % 1009) / 504.0f - 1.0f;
        whole[i % LENGTH] += parts[i / LENGTH][i % LENGTH] / 8.0f;
    }
    /* The first time without a thread of its own. */
    struct library first = load();
    call(&first, NULL, expected);
    must(dlclose(first.handle) == 0, "dlclose");
    sleep_ms(20);

    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            must(pthread_create(&threads[i], NULL, one_thread, &round) == 0, "pthread_create");
        }
        for (int i = 0; i < THREADS; i++) {
            void *handle = NULL;
            pthread_join(threads[i], &handle);
            must(handle == NULL || dlclose(handle) == 0, "dlclose");
        }
        sleep_ms(5);
    }
    printf("  ok: loaded, used and unloaded %d times by %d threads\n", ROUNDS, THREADS);
    return 0;
}

/* The header alone: it needs no other, and its macros, types and functions are all there, in any C from C99 on and in
 * C++.
 */
#include <contrib.h>

/* A type for each function, so that the header's declarations are compared with what they must stay. */
typedef contrib_status (*three_tensors)(const contrib_tensor *, const contrib_tensor *, const contrib_tensor *,
                                      const contrib_options *);
typedef contrib_status (*five_tensors)(const contrib_tensor *, const contrib_tensor *, const contrib_tensor *,
                                       const contrib_tensor *, const contrib_tensor *, const contrib_options *);

int main(void) {
    contrib_status (*group_contributions)(const contrib_tensor *, const contrib_group *, size_t,
                                          const contrib_options *) = contrib_group_contributions;
    three_tensors contributions = contrib_contributions;
    five_tensors operations[4];
    contrib_status (*threshold)(const contrib_tensor *, const contrib_tensor *, double, const contrib_tensor *,
                                const contrib_tensor *, const contrib_options *) = contrib_threshold_and_renormalise;
    contrib_status (*context_new)(size_t, contrib_context **) = contrib_context_new;
    contrib_status (*context_new_with_parallel_for)(size_t, void (*)(void *, size_t, void (*)(void *, size_t), void *), void *,
                                                    contrib_context **) = contrib_context_new_with_parallel_for;
    contrib_status (*attention_factored)(const contrib_attention_inputs *, const contrib_attention_results *,
                                         const contrib_options *) = contrib_attention_factored;
    contrib_status (*mlp_neurons)(const contrib_neurons_inputs *, const contrib_neurons_results *,
                                  const contrib_options *) = contrib_mlp_neurons;
    void (*context_free)(contrib_context *) = contrib_context_free;
    size_t (*context_threads)(const contrib_context *) = contrib_context_threads;
    contrib_status (*limit_kept_memory)(const contrib_context *, size_t) = contrib_context_limit_kept_memory;
    size_t (*kept_memory)(const contrib_context *) = contrib_context_kept_memory;
    void (*release_memory)(const contrib_context *) = contrib_context_release_memory;
    contrib_status (*limit_instruction_set)(contrib_context *, int32_t) = contrib_context_limit_instruction_set;
    int32_t (*instruction_set)(const contrib_context *) = contrib_context_instruction_set;
    const char *(*status_name)(contrib_status) = contrib_status_name;
    const char *(*last_error_message)(void) = contrib_last_error_message;
    const char *(*version)(void) = contrib_version;

    /* Each number once: equal ones would be an error here. */
    contrib_status statuses[] = {
        CONTRIB_OK,
        CONTRIB_ERROR_NULL_POINTER,
        CONTRIB_ERROR_STRUCT_SIZE,
        CONTRIB_ERROR_UNKNOWN_FIELD,
        CONTRIB_ERROR_CONFLICT,
        CONTRIB_ERROR_DEVICE,
        CONTRIB_ERROR_DTYPE,
        CONTRIB_ERROR_NDIM,
        CONTRIB_ERROR_NEGATIVE_EXTENT,
        CONTRIB_ERROR_SIZE_OVERFLOW,
        CONTRIB_ERROR_MISALIGNED,
        CONTRIB_ERROR_RANK,
        CONTRIB_ERROR_SHAPE,
        CONTRIB_ERROR_OVERLAP,
        CONTRIB_ERROR_SELF_OVERLAP,
        CONTRIB_ERROR_HEADS,
        CONTRIB_ERROR_TOP_K,
        CONTRIB_ERROR_PREPARED,
        CONTRIB_ERROR_NORM,
        CONTRIB_ERROR_THRESHOLD,
        CONTRIB_ERROR_TOO_MANY_THREADS,
        CONTRIB_ERROR_INSTRUCTION_SET,
        CONTRIB_ERROR_FLAGS,
        CONTRIB_ERROR_NUMBER,
        CONTRIB_ERROR_OUT_OF_MEMORY,
        CONTRIB_ERROR_IO,
        CONTRIB_ERROR_FILE,
        CONTRIB_ERROR_METADATA,
        CONTRIB_ERROR_MISSING,
        CONTRIB_ERROR_NOT_FINITE,
        CONTRIB_ERROR_NOT_A_NUMBER,
        CONTRIB_ERROR_TARGET,
        CONTRIB_ERROR_UNLIKE,
        CONTRIB_ERROR_STOPPED,
        CONTRIB_ERROR_CALLBACK,
        CONTRIB_ERROR_FORMAT,
        CONTRIB_ERROR_INTERNAL,
    };
    int32_t devices[] = {
        CONTRIB_DEVICE_CPU,
        CONTRIB_DEVICE_CUDA_HOST,
        CONTRIB_DEVICE_ROCM_HOST,
        CONTRIB_DEVICE_CUDA_MANAGED,
    };
    int32_t instruction_sets[] = {
        CONTRIB_INSTRUCTION_SET_PORTABLE,
        CONTRIB_INSTRUCTION_SET_AVX2,
        CONTRIB_INSTRUCTION_SET_AVX512,
    };
    contrib_dtype float32 = {CONTRIB_DTYPE_FLOAT, 32, 1};
    contrib_dtype bfloat16 = {CONTRIB_DTYPE_BFLOAT, 16, 1};
    contrib_dtype int64 = {CONTRIB_DTYPE_INT, 64, 1};
    uint64_t flags[2] = {CONTRIB_GROUP_LEAVE_OUT_ZEROS | CONTRIB_GROUP_SUM,
                         CONTRIB_ATTENTION_LEAVE_OUT_MASKED & CONTRIB_ATTENTION_SUM_HEADS & CONTRIB_CAUSAL};
    contrib_options options = CONTRIB_OPTIONS_INIT;
    contrib_attention_inputs attention = CONTRIB_ATTENTION_INPUTS_INIT;
    contrib_attention_results attention_results = CONTRIB_ATTENTION_RESULTS_INIT;
    contrib_neurons_inputs neurons = CONTRIB_NEURONS_INPUTS_INIT;
    contrib_neurons_results neurons_results = CONTRIB_NEURONS_RESULTS_INIT;
    contrib_queries_and_keys queries_and_keys = CONTRIB_QUERIES_AND_KEYS_INIT;
    contrib_one_off one_off = {NULL, NULL};
    contrib_group group = CONTRIB_GROUP_INIT;
    contrib_context *context = NULL;
    const char *said = CONTRIB_VERSION_STRING;
    const char *linked;
    int parts[3] = {CONTRIB_VERSION_MAJOR, CONTRIB_VERSION_MINOR, CONTRIB_VERSION_PATCH};
    int part;
    size_t i;

    operations[0] = contrib_contributions_with_one_off;
    operations[1] = contrib_attention;
    operations[2] = contrib_mlp;
    operations[3] = contrib_decomposed_mlp;

    if (float32.code == bfloat16.code || int64.code == float32.code || devices[0] != 1 || parts[0] < 0) {
        return 1;
    }
    if (options.struct_size != sizeof(contrib_options) || options.norm != 1.0 || options.context != NULL ||
        options.threshold != 0.0) {
        return 2;
    }
    if (attention.struct_size != sizeof(contrib_attention_inputs) || attention.pattern != NULL || attention.flags != 0 ||
        attention_results.struct_size != sizeof(contrib_attention_results) || attention_results.above != 0.0 ||
        attention_results.one_offs != NULL || attention_results.n_one_offs != 0 || attention_results.flags != 0 ||
        neurons.struct_size != sizeof(contrib_neurons_inputs) || neurons.w_out != NULL ||
        neurons_results.struct_size != sizeof(contrib_neurons_results) || neurons_results.out_resid != NULL ||
        queries_and_keys.struct_size != sizeof(contrib_queries_and_keys) || queries_and_keys.score_scale != 0.0 ||
        queries_and_keys.first_query != -1 || queries_and_keys.window != 0 || queries_and_keys.flags != 0 ||
        group.struct_size != sizeof(contrib_group) || group.flags != 0 || group.summed_axes != 0 || flags[0] != 3 ||
        flags[1] != 1) {
        return 12;
    }
    for (i = 1; i < sizeof statuses / sizeof *statuses; i++) {
        if (statuses[i] <= statuses[i - 1]) {
            return 3;
        }
    }

    /* The header's version is the library's, and its three numbers are its string. */
    for (linked = version(); *linked != '\0' && *linked == *said; linked++, said++) {
    }
    if (*linked != *said) {
        return 4;
    }
    said = CONTRIB_VERSION_STRING;
    for (i = 0; i < 3; i++) {
        for (part = 0; *said >= '0' && *said <= '9'; said++) {
            part = 10 * part + (*said - '0');
        }
        if (part != parts[i] || (i < 2 && *said++ != '.')) {
            return 5;
        }
    }

    /* NULL everywhere is an error, not a crash. */
    if (group_contributions(NULL, NULL, 0, NULL) != CONTRIB_ERROR_NULL_POINTER ||
        contributions(NULL, NULL, NULL, NULL) != CONTRIB_ERROR_NULL_POINTER ||
        threshold(NULL, NULL, 0.0, NULL, NULL, NULL) != CONTRIB_ERROR_NULL_POINTER ||
        mlp_neurons(NULL, NULL, NULL) != CONTRIB_ERROR_NULL_POINTER) {
        return 6;
    }
    attention.queries_and_keys = &queries_and_keys;
    attention_results.one_offs = &one_off;
    attention_results.n_one_offs = 1;
    if (group_contributions(NULL, &group, 1, &options) != CONTRIB_ERROR_NULL_POINTER ||
        mlp_neurons(&neurons, &neurons_results, &options) != CONTRIB_ERROR_NULL_POINTER ||
        attention_factored(NULL, NULL, NULL) != CONTRIB_ERROR_NULL_POINTER ||
        attention_factored(&attention, &attention_results, &options) != CONTRIB_ERROR_NULL_POINTER) {
        return 13;
    }
    for (i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (operations[i](NULL, NULL, NULL, NULL, NULL, &options) != CONTRIB_ERROR_NULL_POINTER) {
            return 7;
        }
    }
    if (last_error_message()[0] == '\0' || status_name(CONTRIB_OK)[0] != 'C') {
        return 8;
    }
    if (context_new(2, &context) != CONTRIB_OK || context_threads(context) != 2) {
        return 9;
    }
    if (context_new_with_parallel_for(2, NULL, NULL, NULL) != CONTRIB_ERROR_NULL_POINTER) {
        return 14;
    }

    /* A context's instruction set falls, and does not rise. */
    for (i = sizeof instruction_sets / sizeof *instruction_sets; i-- > 0;) {
        if (limit_instruction_set(context, instruction_sets[i]) != CONTRIB_OK ||
            instruction_set(context) > instruction_sets[i]) {
            return 10;
        }
    }
    if (limit_instruction_set(context, CONTRIB_INSTRUCTION_SET_AVX512) != CONTRIB_OK ||
        instruction_set(context) != CONTRIB_INSTRUCTION_SET_PORTABLE ||
        limit_instruction_set(context, 0) != CONTRIB_ERROR_INSTRUCTION_SET ||
        limit_instruction_set(NULL, CONTRIB_INSTRUCTION_SET_AVX2) != CONTRIB_ERROR_NULL_POINTER ||
        instruction_set(NULL) < CONTRIB_INSTRUCTION_SET_PORTABLE) {
        return 11;
    }
    if (limit_kept_memory(context, 1 << 20) != CONTRIB_OK || kept_memory(context) != 0 || kept_memory(NULL) != 0 ||
        limit_kept_memory(NULL, 0) != CONTRIB_ERROR_NULL_POINTER) {
        return 12;
    }
    release_memory(context);
    release_memory(NULL);
    context_free(context);
    return 0;
}

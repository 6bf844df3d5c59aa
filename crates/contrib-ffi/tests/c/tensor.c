/* CONTRIB_TENSOR in C, contrib::Tensor in C++: a tensor where it is needed, and the dtypes. With all warnings that a caller's
 * own program may have.
 */
#include <contrib.h>

#include <stdio.h>

static int failures;

static void check(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "tensor.c: %s\n", what);
        failures++;
    }
}

static void check_dtype(contrib_dtype dtype, uint8_t code, uint8_t bits, const char *what) {
    check(dtype.code == code && dtype.bits == bits && dtype.lanes == 1, what);
}

static void check_tensor(const contrib_tensor *tensor, const void *data, int32_t ndim, const int64_t *shape,
                         const char *what) {
    int32_t axis;
    check(tensor->data == data && tensor->ndim == ndim && tensor->strides == NULL && tensor->byte_offset == 0 &&
              tensor->device_type == CONTRIB_DEVICE_CPU && tensor->device_id == 0,
          what);
    for (axis = 0; axis < ndim; axis++) {
        check(tensor->shape[axis] == shape[axis], what);
    }
}

static void dtypes(void) {
    check_dtype(CONTRIB_F32, CONTRIB_DTYPE_FLOAT, 32, "CONTRIB_F32");
    check_dtype(CONTRIB_F64, CONTRIB_DTYPE_FLOAT, 64, "CONTRIB_F64");
    check_dtype(CONTRIB_F16, CONTRIB_DTYPE_FLOAT, 16, "CONTRIB_F16");
    check_dtype(CONTRIB_BF16, CONTRIB_DTYPE_BFLOAT, 16, "CONTRIB_BF16");
    check_dtype(CONTRIB_I32, CONTRIB_DTYPE_INT, 32, "CONTRIB_I32");
    check_dtype(CONTRIB_I64, CONTRIB_DTYPE_INT, 64, "CONTRIB_I64");
}

int main(void) {
    /* The 1-norm of the whole is 7; the parts are 2 and 5 away from it, up to the epsilons: proximities 5 and 2. */
    const float whole[3] = {4, 2, 1}, parts[2][3] = {{3, 1, 1}, {1, 0, 1}};
    const int64_t most[16] = {1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3};
    const int64_t shape[2] = {2, 3};
    const int n_parts = 2;
    const size_t length = 3;
    float out[2] = {-1, -1}, all = -1;
    contrib_dtype float32 = CONTRIB_F32;
    contrib_group group = CONTRIB_GROUP_INIT;
    contrib_status status;

    dtypes();
#ifdef __cplusplus
    contrib::Tensor w(whole, CONTRIB_F32, length), x(parts, float32, n_parts, length), o(out, CONTRIB_F32, n_parts);
    contrib::Tensor one(&all, CONTRIB_F32), deep(parts, CONTRIB_F32, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3);
    /* A copy has extents of its own, which outlive those of the first. */
    contrib::Tensor assigned(out, CONTRIB_I64);
    {
        contrib::Tensor original(parts, CONTRIB_F32, n_parts, length), copy(original);
        check(static_cast<const contrib_tensor *>(copy)->shape != static_cast<const contrib_tensor *>(original)->shape,
              "a copy's shape");
        check_tensor(copy, parts, 2, shape, "a copy");
        assigned = copy;
    }
    check_tensor(assigned, parts, 2, shape, "an assigned tensor");
    const contrib_tensor *deepest = deep, *scalar = one;
    status = contrib_contributions(w, x, o, NULL);
    group.parts = x;
    group.out = one;
#else
    const contrib_tensor *deepest =
        CONTRIB_TENSOR(parts, CONTRIB_F32, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3);
    const contrib_tensor *scalar = CONTRIB_SCALAR(&all, CONTRIB_F32);
    check_tensor(CONTRIB_TENSOR(parts, CONTRIB_F32, n_parts, (int64_t)length), parts, 2, shape, "inside a call");
    status = contrib_contributions(CONTRIB_TENSOR(whole, CONTRIB_F32, 3), CONTRIB_TENSOR(parts, float32, n_parts, 3),
                                   CONTRIB_TENSOR(out, CONTRIB_F32, n_parts), NULL);
    group.parts = CONTRIB_TENSOR(parts, CONTRIB_F32, 2, 3);
    group.out = scalar;
#endif
    check(status == CONTRIB_OK, contrib_last_error_message());
    check(out[0] > 0.7142f && out[0] < 0.7144f && out[1] > 0.2856f && out[1] < 0.2858f, "contributions");
    check_tensor(deepest, parts, 16, most, "16 axes");
    check_tensor(scalar, &all, 0, NULL, "no axes");

    group.flags = CONTRIB_GROUP_SUM;
#ifdef __cplusplus
    status = contrib_group_contributions(w, &group, 1, NULL);
#else
    status = contrib_group_contributions(CONTRIB_TENSOR(whole, CONTRIB_F32, 3), &group, 1, NULL);
#endif
    check(status == CONTRIB_OK, contrib_last_error_message());
    check(all > 0.9999f && all < 1.0001f, "the sum of all contributions");
    return failures != 0;
}

// Views of tensors: what becomes one, what does not, and what C sees.

#include "check.hpp"

#include <array>
#include <cmath>
#include <type_traits>

#if defined(__has_include)
#if __has_include(<span>)
#include <span>
#endif
#if __has_include(<mdspan>)
#include <mdspan>
#endif
#if __has_include(<Eigen/Core>)
#include <Eigen/Core>
#define HAS_EIGEN 1
#endif
#endif

using contrib::MutableTensorView;
using contrib::TensorView;

// What std::mdspan has, for compilers that lack it: a matrix stored by columns.
template <typename T>
class ByColumns {
public:
    ByColumns(T *data, std::size_t rows, std::size_t columns) : data_(data), extents_{rows, columns} {}
    static constexpr std::size_t rank() { return 2; }
    T *data_handle() const { return data_; }
    std::size_t extent(std::size_t axis) const { return extents_[axis]; }
    std::size_t stride(std::size_t axis) const { return axis == 0 ? 1 : extents_[0]; }

private:
    T *data_;
    std::array<std::size_t, 2> extents_;
};

// A half that C++ does not know.
struct Half {
    std::uint16_t bits;
};
template <>
struct contrib::DtypeOf<Half> {
    static contrib_dtype get() { return CONTRIB_F16; }
};

// A tensor as ggml has it: extents and strides in bytes, the fastest axis first.
struct GgmlTensor {
    void *data;
    std::int64_t ne[4];
    std::size_t nb[4];
};

static TensorView view_of(const GgmlTensor &tensor) {
    std::int64_t extents[4], strides[4];
    for (std::size_t axis = 0; axis < 4; axis++) {
        extents[axis] = tensor.ne[3 - axis];
        strides[axis] = static_cast<std::int64_t>(tensor.nb[3 - axis] / sizeof(float));
    }
    return TensorView(tensor.data, CONTRIB_F32, contrib::Extents(extents, 4)).with_strides(contrib::Extents(strides, 4));
}

// DLPack's DLTensor, by its members.
struct DlDevice {
    std::int32_t device_type, device_id;
};
struct DlTensor {
    void *data;
    DlDevice device;
    std::int32_t ndim;
    contrib_dtype dtype;
    std::int64_t *shape, *strides;
    std::uint64_t byte_offset;
};

// Only what can be written becomes a view that is written to, and only known elements become a view.
static_assert(std::is_convertible<std::vector<float>, TensorView>::value, "");
static_assert(std::is_convertible<const std::vector<float> &, TensorView>::value, "");
static_assert(std::is_convertible<std::vector<float> &, MutableTensorView>::value, "");
static_assert(!std::is_convertible<const std::vector<float> &, MutableTensorView>::value, "");
static_assert(!std::is_constructible<MutableTensorView, const float *, int>::value, "");
static_assert(std::is_constructible<MutableTensorView, float *, int>::value, "");
static_assert(!std::is_constructible<TensorView, const char *, int>::value, "");
static_assert(!std::is_convertible<std::string, TensorView>::value, "");
static_assert(!std::is_convertible<TensorView, MutableTensorView>::value, "");
static_assert(std::is_convertible<MutableTensorView, TensorView>::value, "");
static_assert(!std::is_constructible<MutableTensorView, ByColumns<const float>>::value, "");

static void check_view(const TensorView &view, const void *data, contrib_dtype dtype, std::vector<std::int64_t> shape,
                       std::vector<std::int64_t> strides) {
    contrib_tensor tensor;
    CHECK(view.is_given());
    CHECK(view.c_tensor(tensor) == &tensor);
    CHECK(tensor.data == data && tensor.byte_offset == 0 && tensor.device_type == CONTRIB_DEVICE_CPU);
    CHECK(tensor.dtype.code == dtype.code && tensor.dtype.bits == dtype.bits && tensor.dtype.lanes == 1);
    CHECK(tensor.ndim == static_cast<int>(shape.size()));
    CHECK(shape.empty() || std::memcmp(tensor.shape, shape.data(), shape.size() * 8) == 0);
    CHECK((tensor.strides != nullptr) == !strides.empty());
    CHECK(strides.empty() || std::memcmp(tensor.strides, strides.data(), strides.size() * 8) == 0);
}

static void what_becomes_a_view() {
    std::vector<float> vector(12);
    const std::vector<float> &constant = vector;
    check_view(vector, vector.data(), CONTRIB_F32, {12}, {});
    check_view({vector.data(), 3, 4}, vector.data(), CONTRIB_F32, {3, 4}, {});
    check_view({constant.data(), 3, std::size_t{4}}, vector.data(), CONTRIB_F32, {3, 4}, {});
    check_view({constant, 2, 6}, vector.data(), CONTRIB_F32, {2, 6}, {});
    check_view({vector.data(), contrib::Extents{2, 3, 2}}, vector.data(), CONTRIB_F32, {2, 3, 2}, {});
    check_view(vector.data(), vector.data(), CONTRIB_F32, {}, {});
    check_view(TensorView(vector, 3, 4).with_strides({1, 3}), vector.data(), CONTRIB_F32, {3, 4}, {1, 3});
    check_view(MutableTensorView(vector, 3, 4), vector.data(), CONTRIB_F32, {3, 4}, {});
    check_view(MutableTensorView(vector, 3, 4).with_strides({1, 3}), vector.data(), CONTRIB_F32, {3, 4}, {1, 3});

    std::array<double, 3> doubles{};
    check_view(doubles, doubles.data(), CONTRIB_F64, {3}, {});
    long long_number = 0;
    check_view(&long_number, &long_number, sizeof(long) == 8 ? CONTRIB_I64 : CONTRIB_I32, {}, {});
    std::vector<long long> long_longs(2);
    check_view(MutableTensorView(long_longs), long_longs.data(), CONTRIB_I64, {2}, {});
    std::vector<std::int32_t> ints(2);
    check_view(ints, ints.data(), CONTRIB_I32, {2}, {});
    std::vector<Half> halves(4);
    check_view({halves, 2, 2}, halves.data(), CONTRIB_F16, {2, 2}, {});
    check_view({static_cast<const void *>(halves.data()), CONTRIB_BF16, {4}}, halves.data(), CONTRIB_BF16, {4}, {});
    check_view(ByColumns<float>(vector.data(), 3, 4), vector.data(), CONTRIB_F32, {3, 4}, {1, 3});
    check_view(MutableTensorView(ByColumns<float>(vector.data(), 3, 4)), vector.data(), CONTRIB_F32, {3, 4}, {1, 3});

    const GgmlTensor ggml{vector.data(), {4, 3, 1, 1}, {4, 16, 48, 48}};
    check_view(view_of(ggml), vector.data(), CONTRIB_F32, {1, 1, 3, 4}, {12, 12, 4, 1});

    std::int64_t shape[2] = {3, 4}, strides[2] = {1, 3};
    DlTensor dl{vector.data(), {CONTRIB_DEVICE_CPU, 0}, 2, CONTRIB_F32, shape, strides, 0};
    check_view(TensorView::from_dlpack(dl), vector.data(), CONTRIB_F32, {3, 4}, {1, 3});
    check_view(MutableTensorView::from_dlpack(dl), vector.data(), CONTRIB_F32, {3, 4}, {1, 3});
    check_view(TensorView(contrib_tensor{vector.data(), 1, 0, 2, CONTRIB_F32, shape, nullptr, 0}), vector.data(),
               CONTRIB_F32, {3, 4}, {});
    CHECK_THROWS(CONTRIB_ERROR_NDIM, "17", dl.ndim = 17; TensorView::from_dlpack(dl));
    CHECK_THROWS(CONTRIB_ERROR_NULL_POINTER, "shape", dl.ndim = 2; dl.shape = nullptr; TensorView::from_dlpack(dl));

    contrib_tensor tensor;
    CHECK(!TensorView().is_given() && TensorView().c_tensor(tensor) == nullptr);
    CHECK(MutableTensorView().c_tensor(tensor) == nullptr);
    CHECK_THROWS(CONTRIB_ERROR_SHAPE, "12", TensorView(vector, 13));
    CHECK_THROWS(CONTRIB_ERROR_SHAPE, "12", TensorView(vector, INT64_MAX, INT64_MAX, 4));
    CHECK_THROWS(CONTRIB_ERROR_NDIM, "3", TensorView(vector, 3, 4).with_strides({1, 1, 1}));
    TensorView(vector, 0, INT64_MAX);
    CHECK_THROWS(CONTRIB_ERROR_NDIM, "17", TensorView(vector.data(), contrib::Extents(std::vector<int>(17).data(), 17)));
}

#ifdef __cpp_lib_span
static void a_span_becomes_a_view() {
    std::vector<float> vector(12);
    check_view(std::span(vector).subspan(4), vector.data() + 4, CONTRIB_F32, {8}, {});
    check_view(MutableTensorView(std::span(vector), 3, 4), vector.data(), CONTRIB_F32, {3, 4}, {});
    static_assert(std::is_constructible_v<MutableTensorView, std::span<float>>);
    static_assert(!std::is_constructible_v<MutableTensorView, std::span<const float>>);
}
#endif

#ifdef __cpp_lib_mdspan
static void an_mdspan_becomes_a_view() {
    std::vector<float> vector(12);
    check_view(std::mdspan(vector.data(), 3, 4), vector.data(), CONTRIB_F32, {3, 4}, {4, 1});
    std::mdspan<float, std::dextents<std::size_t, 2>, std::layout_left> by_columns(vector.data(), 3, 4);
    check_view(MutableTensorView(by_columns), vector.data(), CONTRIB_F32, {3, 4}, {1, 3});
}
#endif

#ifdef __STDCPP_FLOAT16_T__
static void halves_of_the_language_have_their_dtypes() {
    std::vector<std::float16_t> halves(4);
    check_view(halves, halves.data(), CONTRIB_F16, {4}, {});
    std::vector<std::bfloat16_t> others(4);
    check_view(others, others.data(), CONTRIB_BF16, {4}, {});
}
#endif

#ifdef HAS_EIGEN
template <typename Matrix>
static TensorView view_of_eigen(const Matrix &matrix) {
    return TensorView(matrix.data(), matrix.rows(), matrix.cols()).with_strides({matrix.rowStride(), matrix.colStride()});
}

static void a_matrix_of_eigen_becomes_a_view() {
    Eigen::MatrixXf matrix = Eigen::MatrixXf::Random(3, 4);
    check_view(view_of_eigen(matrix), matrix.data(), CONTRIB_F32, {3, 4}, {1, 3});
    Eigen::VectorXd vector(5);
    check_view(vector, vector.data(), CONTRIB_F64, {5}, {});

    const Eigen::VectorXf whole = matrix.colwise().sum();
    std::vector<float> out(3);
    contrib::Contributions arguments;
    arguments.whole = whole;
    arguments.parts = view_of_eigen(matrix);
    arguments.out = out;
    contrib::contributions(arguments);
    CHECK(std::fabs(out[0] + out[1] + out[2] - 1) < 1e-6F);
}
#endif

int main() {
    what_becomes_a_view();
#ifdef __cpp_lib_span
    a_span_becomes_a_view();
#endif
#ifdef __cpp_lib_mdspan
    an_mdspan_becomes_a_view();
#endif
#ifdef __STDCPP_FLOAT16_T__
    halves_of_the_language_have_their_dtypes();
#endif
#ifdef HAS_EIGEN
    a_matrix_of_eigen_becomes_a_view();
#endif
    return 0;
}

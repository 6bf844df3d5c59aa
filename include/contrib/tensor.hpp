/// \file
/// Views of tensors that the caller has.

#ifndef CONTRIB_TENSOR_HPP
#define CONTRIB_TENSOR_HPP

#include <contrib.h>

#include <contrib/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#if defined(__has_include)
#if __has_include(<stdfloat>)
#include <stdfloat>
#endif
#endif

namespace contrib {

/// The dtype of elements of type `T`, as `DtypeOf<T>::get()`. It is known for float, double, signed integers of 32 and 64
/// bits, and std::float16_t and std::bfloat16_t where the compiler has them. For another type, such as a library's own half,
/// specialise it:
///
/// ```cpp
/// template <>
/// struct contrib::DtypeOf<Eigen::half> {
///     static contrib_dtype get() { return CONTRIB_F16; }
/// };
/// ```
template <typename T, typename = void>
struct DtypeOf;

template <>
struct DtypeOf<float> {
    static constexpr contrib_dtype get() noexcept { return {CONTRIB_DTYPE_FLOAT, 32, 1}; }
};

template <>
struct DtypeOf<double> {
    static constexpr contrib_dtype get() noexcept { return {CONTRIB_DTYPE_FLOAT, 64, 1}; }
};

template <typename T>
struct DtypeOf<T, std::enable_if_t<std::is_integral<T>::value && std::is_signed<T>::value &&
                                   (sizeof(T) == 4 || sizeof(T) == 8)>> {
    static constexpr contrib_dtype get() noexcept {
        return {CONTRIB_DTYPE_INT, static_cast<std::uint8_t>(8 * sizeof(T)), 1};
    }
};

#ifdef __STDCPP_FLOAT16_T__
template <>
struct DtypeOf<std::float16_t> {
    static constexpr contrib_dtype get() noexcept { return {CONTRIB_DTYPE_FLOAT, 16, 1}; }
};
#endif

#ifdef __STDCPP_BFLOAT16_T__
template <>
struct DtypeOf<std::bfloat16_t> {
    static constexpr contrib_dtype get() noexcept { return {CONTRIB_DTYPE_BFLOAT, 16, 1}; }
};
#endif

/// Extents or strides of up to 16 axes.
class Extents {
public:
    /// The most axes that a tensor can have.
    static constexpr std::size_t max_ndim = 16;

    Extents() noexcept = default;

    Extents(std::initializer_list<std::int64_t> extents) : Extents(extents.begin(), extents.size()) {}

    /// `ndim` of them from an array; throws contrib::Error if there are more than 16.
    template <typename Integer, typename = std::enable_if_t<std::is_integral<Integer>::value>>
    Extents(const Integer *extents, std::size_t ndim) {
        if (ndim > max_ndim) {
            throw Error(CONTRIB_ERROR_NDIM, "extents: expected at most 16 axes, got " + std::to_string(ndim));
        }
        for (std::size_t axis = 0; axis < ndim; axis++) {
            extents_[axis] = static_cast<std::int64_t>(extents[axis]);
        }
        ndim_ = ndim;
    }

    std::size_t ndim() const noexcept { return ndim_; }
    const std::int64_t *data() const noexcept { return extents_.data(); }
    std::int64_t operator[](std::size_t axis) const noexcept { return extents_[axis]; }

private:
    std::array<std::int64_t, max_ndim> extents_{};
    std::size_t ndim_ = 0;
};

class TensorView;
class MutableTensorView;

namespace detail {

template <typename T, typename = void>
struct has_dtype : std::false_type {};

template <typename T>
struct has_dtype<T, std::void_t<decltype(DtypeOf<std::remove_cv_t<T>>::get())>> : std::true_type {};

/// Are these all integers, as extents are?
template <typename... Extent>
inline constexpr bool all_integers = (std::is_integral<Extent>::value && ...);

template <typename T>
using element_t = std::remove_pointer_t<decltype(std::declval<T &>().data())>;

/// Elements one after the other, as in std::vector, std::array and std::span: has data() and size().
template <typename T, typename = void>
struct is_contiguous : std::false_type {};

template <typename T>
struct is_contiguous<T, std::void_t<element_t<T>, decltype(std::declval<T &>().size())>>
    : std::integral_constant<bool, has_dtype<element_t<T>>::value> {};

template <typename T>
using handle_element_t = std::remove_pointer_t<decltype(std::declval<T &>().data_handle())>;

/// std::mdspan, or another class with its members.
template <typename T, typename = void>
struct is_mdspan : std::false_type {};

template <typename T>
struct is_mdspan<T, std::void_t<handle_element_t<T>, decltype(T::rank()), decltype(std::declval<T &>().extent(0)),
                                decltype(std::declval<T &>().stride(0))>>
    : std::integral_constant<bool, has_dtype<handle_element_t<T>>::value> {};

/// Throws where a container has fewer elements than the extents say.
inline void check_size(const Extents &extents, std::size_t size) {
    std::uint64_t count = 1;
    bool fits = true;
    for (std::size_t axis = 0; axis < extents.ndim(); axis++) {
        if (extents[axis] == 0) {
            return;
        }
        // A negative extent is refused by the call.
        const auto extent = static_cast<std::uint64_t>(extents[axis] < 0 ? 1 : extents[axis]);
        fits = fits && count <= std::numeric_limits<std::uint64_t>::max() / extent;
        count *= fits ? extent : 1;
    }
    if (!fits || count > size) {
        throw Error(CONTRIB_ERROR_SHAPE,
                    "a container: expected as many elements as its extents say, got " + std::to_string(size));
    }
}

template <typename Mdspan>
Extents extents_of(const Mdspan &mdspan) {
    std::array<std::int64_t, Mdspan::rank() + 1> extents{};
    for (std::size_t axis = 0; axis < Mdspan::rank(); axis++) {
        extents[axis] = static_cast<std::int64_t>(mdspan.extent(axis));
    }
    return Extents(extents.data(), Mdspan::rank());
}

template <typename Mdspan>
Extents strides_of(const Mdspan &mdspan) {
    std::array<std::int64_t, Mdspan::rank() + 1> strides{};
    for (std::size_t axis = 0; axis < Mdspan::rank(); axis++) {
        strides[axis] = static_cast<std::int64_t>(mdspan.stride(axis));
    }
    return Extents(strides.data(), Mdspan::rank());
}

} // namespace detail

/// A view of a tensor that a call reads, or of none. It keeps extents and strides, but not the elements, which must outlive
/// the calls that it is given to. A pointer and extents, a container, or an mdspan becomes one where it is passed:
/// `{pointer, 12, 768}`, `{vector, 12, 768}`, `vector`.
class TensorView {
public:
    /// No tensor: NULL in C.
    TensorView() noexcept = default;

    /// A row-major tensor of these extents; without any, one element.
    template <typename T, typename... Extent,
              typename = std::enable_if_t<detail::has_dtype<T>::value && detail::all_integers<Extent...>>>
    TensorView(const T *data, Extent... extents)
        : TensorView(data, Extents{static_cast<std::int64_t>(extents)...}) {}

    /// The same with extents that are counted at run time.
    template <typename T, typename = std::enable_if_t<detail::has_dtype<T>::value>>
    TensorView(const T *data, const Extents &extents) noexcept
        : TensorView(static_cast<const void *>(data), DtypeOf<std::remove_cv_t<T>>::get(), extents) {}

    /// A row-major tensor of elements whose type C++ does not know.
    TensorView(const void *data, contrib_dtype dtype, const Extents &extents) noexcept
        : data_(data), dtype_(dtype), extents_(extents), is_given_(true) {}

    /// All elements of a container, on one axis.
    template <typename Container, typename = std::enable_if_t<detail::is_contiguous<const Container>::value>>
    TensorView(const Container &container)
        : TensorView(container.data(), Extents{static_cast<std::int64_t>(container.size())}) {}

    /// The elements of a container as a row-major tensor; throws contrib::Error if it has fewer.
    template <typename Container, typename... Extent,
              typename = std::enable_if_t<detail::is_contiguous<const Container>::value && (sizeof...(Extent) > 0) &&
                                          detail::all_integers<Extent...>>>
    TensorView(const Container &container, Extent... extents)
        : TensorView(container, Extents{static_cast<std::int64_t>(extents)...}) {}

    /// The same with extents that are counted at run time.
    template <typename Container, typename = std::enable_if_t<detail::is_contiguous<const Container>::value>>
    TensorView(const Container &container, const Extents &extents) : TensorView(container.data(), extents) {
        detail::check_size(extents, static_cast<std::size_t>(container.size()));
    }

    /// What an mdspan views, with its strides.
    template <typename Mdspan, typename = std::enable_if_t<detail::is_mdspan<const Mdspan>::value>, typename = void>
    TensorView(const Mdspan &mdspan) : TensorView(mdspan.data_handle(), detail::extents_of(mdspan)) {
        strides_ = detail::strides_of(mdspan);
        has_strides_ = true;
    }

    /// A C tensor. Throws contrib::Error for a number of axes that no tensor has, and for axes without extents.
    explicit TensorView(const contrib_tensor &tensor)
        : TensorView(tensor.data, tensor.device_type, tensor.ndim, tensor.dtype, tensor.shape, tensor.strides,
                     tensor.byte_offset) {}

    /// A DLTensor of DLPack. The same errors.
    template <typename DlTensor>
    static TensorView from_dlpack(const DlTensor &tensor) {
        return TensorView(tensor.data, static_cast<std::int32_t>(tensor.device.device_type), tensor.ndim,
                          {tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes}, tensor.shape, tensor.strides,
                          tensor.byte_offset);
    }

    /// The same view with strides in elements, one for each axis; throws contrib::Error where there are more or fewer.
    TensorView with_strides(const Extents &strides) const {
        TensorView view = *this;
        view.set_strides(strides);
        return view;
    }

    /// Is there a tensor?
    bool is_given() const noexcept { return is_given_; }

    /// The extents.
    const Extents &extents() const noexcept { return extents_; }

    /// The view as C has it, in `tensor`, or NULL where there is no tensor. Valid for as long as both.
    const contrib_tensor *c_tensor(contrib_tensor &tensor) const noexcept {
        if (!is_given_) {
            return nullptr;
        }
        // The C struct serves inputs and outputs; its pointers are not const.
        tensor.data = const_cast<void *>(data_);
        tensor.device_type = device_type_;
        tensor.device_id = 0;
        tensor.ndim = static_cast<std::int32_t>(extents_.ndim());
        tensor.dtype = dtype_;
        tensor.shape = const_cast<std::int64_t *>(extents_.data());
        tensor.strides = has_strides_ ? const_cast<std::int64_t *>(strides_.data()) : nullptr;
        tensor.byte_offset = byte_offset_;
        return &tensor;
    }

protected:
    /// What with_strides() says.
    void set_strides(const Extents &strides) {
        if (strides.ndim() != extents_.ndim()) {
            throw Error(CONTRIB_ERROR_NDIM, "strides: expected one for each of " + std::to_string(extents_.ndim()) +
                                                " axes, got " + std::to_string(strides.ndim()));
        }
        strides_ = strides;
        has_strides_ = true;
    }

private:
    TensorView(const void *data, std::int32_t device_type, std::int32_t ndim, contrib_dtype dtype,
               const std::int64_t *shape, const std::int64_t *strides, std::uint64_t byte_offset)
        : data_(data), dtype_(dtype), device_type_(device_type), byte_offset_(byte_offset), is_given_(true) {
        if (ndim < 0 || ndim > static_cast<std::int32_t>(Extents::max_ndim)) {
            throw Error(CONTRIB_ERROR_NDIM, "a tensor: expected 0 to 16 axes, got " + std::to_string(ndim));
        }
        if (ndim > 0 && shape == nullptr) {
            throw Error(CONTRIB_ERROR_NULL_POINTER, "a tensor: expected a shape for its axes, got NULL");
        }
        extents_ = Extents(shape, static_cast<std::size_t>(ndim));
        if (strides != nullptr) {
            set_strides(Extents(strides, static_cast<std::size_t>(ndim)));
        }
    }

    const void *data_ = nullptr;
    contrib_dtype dtype_{CONTRIB_DTYPE_FLOAT, 32, 1};
    std::int32_t device_type_ = CONTRIB_DEVICE_CPU;
    Extents extents_;
    Extents strides_;
    std::uint64_t byte_offset_ = 0;
    bool has_strides_ = false;
    bool is_given_ = false;
};

/// A view of a tensor that a call writes, or of none. As TensorView, of what is not const.
class MutableTensorView : public TensorView {
public:
    /// No tensor: NULL in C.
    MutableTensorView() noexcept = default;

    template <typename T, typename... Extent,
              typename = std::enable_if_t<detail::has_dtype<T>::value && !std::is_const<T>::value &&
                                          detail::all_integers<Extent...>>>
    MutableTensorView(T *data, Extent... extents) : TensorView(data, extents...) {}

    template <typename T,
              typename = std::enable_if_t<detail::has_dtype<T>::value && !std::is_const<T>::value>>
    MutableTensorView(T *data, const Extents &extents) noexcept : TensorView(data, extents) {}

    MutableTensorView(void *data, contrib_dtype dtype, const Extents &extents) noexcept
        : TensorView(data, dtype, extents) {}

    template <typename Container,
              typename = std::enable_if_t<detail::is_contiguous<std::remove_reference_t<Container>>::value &&
                                          !std::is_const<detail::element_t<std::remove_reference_t<Container>>>::value>>
    MutableTensorView(Container &&container) : TensorView(container) {}

    template <typename Container, typename... Extent,
              typename = std::enable_if_t<detail::is_contiguous<std::remove_reference_t<Container>>::value &&
                                          !std::is_const<detail::element_t<std::remove_reference_t<Container>>>::value &&
                                          (sizeof...(Extent) > 0) && detail::all_integers<Extent...>>>
    MutableTensorView(Container &&container, Extent... extents) : TensorView(container, extents...) {}

    template <typename Container,
              typename = std::enable_if_t<detail::is_contiguous<std::remove_reference_t<Container>>::value &&
                                          !std::is_const<detail::element_t<std::remove_reference_t<Container>>>::value>>
    MutableTensorView(Container &&container, const Extents &extents) : TensorView(container, extents) {}

    template <typename Mdspan,
              typename = std::enable_if_t<detail::is_mdspan<const Mdspan>::value &&
                                          !std::is_const<detail::handle_element_t<const Mdspan>>::value>,
              typename = void>
    MutableTensorView(const Mdspan &mdspan) : TensorView(mdspan) {}

    explicit MutableTensorView(const contrib_tensor &tensor) : TensorView(tensor) {}

    template <typename DlTensor>
    static MutableTensorView from_dlpack(const DlTensor &tensor) {
        return MutableTensorView(TensorView::from_dlpack(tensor));
    }

    MutableTensorView with_strides(const Extents &strides) const {
        MutableTensorView view = *this;
        view.set_strides(strides);
        return view;
    }

private:
    explicit MutableTensorView(const TensorView &view) noexcept : TensorView(view) {}
};

namespace detail {

/// The C tensors of one call, at fixed addresses until it returns.
template <std::size_t N>
class Tensors {
public:
    const contrib_tensor *operator()(const TensorView &view) noexcept { return view.c_tensor(tensors_[n_++]); }

private:
    contrib_tensor tensors_[N];
    std::size_t n_ = 0;
};

} // namespace detail
} // namespace contrib

#endif // CONTRIB_TENSOR_HPP

#include "tensors.hpp"

#include "error.hpp"

#include <ggml-backend.h>
#include <ggml-cpu.h>

#include <cstring>
#include <string>

namespace contrib_llama {

HostBytes::HostBytes(const ggml_tensor *tensor) : bytes_(static_cast<const uint8_t *>(tensor->data)) {
    const ggml_tensor *owner = tensor->view_src ? tensor->view_src : tensor;
    ggml_backend_buffer_t buffer = owner->buffer;
    if (!buffer || ggml_backend_buffer_is_host(buffer)) {
        return;
    }
    ggml_backend_dev_t device = ggml_backend_buft_get_device(ggml_backend_buffer_get_type(buffer));
    if (device && ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
        throw Error(std::string("the engine repacked ") + owner->name + " when it loaded the model, so that it cannot be read; " +
                    "load the model with llama_model_params::use_extra_bufts = false");
    }
    copy_.resize(ggml_nbytes(tensor));
    ggml_backend_tensor_get(tensor, copy_.data(), 0, copy_.size());
    bytes_ = copy_.data();
}

void widen(ggml_type type, const void *from, size_t n, float *to) {
    if (type == GGML_TYPE_F32) {
        std::memcpy(to, from, n * sizeof(float));
        return;
    }
    if (type == GGML_TYPE_F16) {
        // Many times faster than the portable function of the type's traits.
        ggml_cpu_fp16_to_fp32(static_cast<const ggml_fp16_t *>(from), to, static_cast<int64_t>(n));
        return;
    }
    const ggml_to_float_t to_float = ggml_get_type_traits(type)->to_float;
    if (!to_float) {
        throw Error(std::string("tensors of type ") + ggml_type_name(type) + " cannot be read");
    }
    to_float(from, to, static_cast<int64_t>(n));
}

std::vector<float> floats_of(const ggml_tensor *tensor) {
    const HostBytes bytes(tensor);
    const size_t columns = tensor->ne[0];
    const size_t rows = tensor->ne[1];
    std::vector<float> floats(columns * rows);
    for (size_t row = 0; row < rows; row++) {
        widen(tensor->type, bytes.at(row * tensor->nb[1]), columns, floats.data() + row * columns);
    }
    return floats;
}

std::vector<int64_t> integers_of(const ggml_tensor *tensor) {
    const HostBytes bytes(tensor);
    std::vector<int64_t> integers(tensor->ne[0]);
    for (size_t i = 0; i < integers.size(); i++) {
        const uint8_t *at = bytes.at(i * tensor->nb[0]);
        if (tensor->type == GGML_TYPE_I64) {
            std::memcpy(&integers[i], at, sizeof(int64_t));
        } else if (tensor->type == GGML_TYPE_I32) {
            int32_t integer;
            std::memcpy(&integer, at, sizeof(integer));
            integers[i] = integer;
        } else {
            throw Error(std::string("indices of type ") + ggml_type_name(tensor->type) + " are not known");
        }
    }
    return integers;
}

}  // namespace contrib_llama

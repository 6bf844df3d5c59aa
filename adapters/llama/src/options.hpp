// What contrib-explain is asked to do.
#pragma once

#include <ggml.h>
#include <llama.h>

#include <cstddef>
#include <optional>
#include <string>

namespace contrib_llama {

struct Options {
    std::string model;
    std::string prompt;
    // A position of the prompt; none: the last.
    std::optional<size_t> target;
    double threshold = 0.04;
    // 0: contributions are not renormalised.
    double renormalise = 0.0;
    size_t n_generate = 0;
    // So many tokens are hidden; 0: no check.
    size_t n_check = 0;
    std::string html;
    std::string json;
    std::string record;
    int n_threads = 0;
    // 0: as many as are needed.
    size_t n_ctx = 0;
    int n_ubatch = 512;
    llama_flash_attn_type flash_attention = LLAMA_FLASH_ATTN_TYPE_AUTO;
    ggml_type cache_type = GGML_TYPE_F16;
    bool is_help = false;
};

extern const char *const USAGE;

// Throws Error where the arguments make no sense.
Options parse_options(int argc, char **argv);

}  // namespace contrib_llama

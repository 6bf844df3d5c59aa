// What the adapter throws: a sentence for the user.
#pragma once

#include <stdexcept>
#include <string>

namespace contrib_llama {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace contrib_llama

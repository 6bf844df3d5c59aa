/// \file
/// What a failed call throws, and the version.

#ifndef CONTRIB_ERROR_HPP
#define CONTRIB_ERROR_HPP

#include <contrib.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace contrib {

/// A call that failed. what() names the argument, what was expected and what came. The outputs are as they were before the
/// call, unless the status is `CONTRIB_ERROR_INTERNAL`.
class Error : public std::runtime_error {
public:
    Error(contrib_status status, const std::string &message) : std::runtime_error(message), status_(status) {}

    /// One of the `CONTRIB_ERROR_` numbers.
    contrib_status status() const noexcept { return status_; }

    /// The name of the status, such as "CONTRIB_ERROR_SHAPE".
    const char *status_name() const noexcept { return contrib_status_name(status_); }

private:
    contrib_status status_;
};

/// The version of the library that is linked, such as "0.1.0".
inline const char *version() noexcept { return contrib_version(); }

/// The same as a number, to compare with `CONTRIB_VERSION_NUMBER`.
inline std::int32_t version_number() noexcept { return contrib_version_number(); }

namespace detail {

/// Throws what the last call of this thread says went wrong.
inline void check(contrib_status status) {
    if (status != CONTRIB_OK) {
        throw Error(status, contrib_last_error_message());
    }
}

} // namespace detail
} // namespace contrib

#endif // CONTRIB_ERROR_HPP

/// \file
/// The C++ interface of contrib, over contrib.h: C++17, headers alone, and the same library to link.
///
/// Tensors are views of what the caller has (tensor.hpp); an operation takes a struct of named arguments
/// (operations.hpp, attention.hpp, mlp.hpp, groups.hpp) and options (options.hpp); contexts and prepared projections free
/// themselves (context.hpp); a failed call throws contrib::Error (error.hpp). In C++20:
///
/// ```cpp
/// std::vector<float> whole(768), parts(12 * 768), out(12);
/// contrib::contributions({.whole = whole, .parts = {parts, 12, 768}, .out = out}, {.norm = 2});
/// ```
///
/// In C++17 the members are set one by one:
///
/// ```cpp
/// contrib::Contributions arguments;
/// arguments.whole = whole;
/// arguments.parts = {parts, 12, 768};
/// arguments.out = out;
/// contrib::contributions(arguments);
/// ```

#ifndef CONTRIB_HPP
#define CONTRIB_HPP

#include "contrib/attention.hpp"
#include "contrib/context.hpp"
#include "contrib/error.hpp"
#include "contrib/groups.hpp"
#include "contrib/mlp.hpp"
#include "contrib/operations.hpp"
#include "contrib/options.hpp"
#include "contrib/queries_and_keys.hpp"
#include "contrib/tensor.hpp"

#endif // CONTRIB_HPP

// What the C++ tests share: numbers, and checks that end the program.

#ifndef CHECK_HPP
#define CHECK_HPP

#include <contrib.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)

inline void check(bool holds, const char *condition, const char *file, int line) {
    if (!holds) {
        std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
        std::exit(1);
    }
}

// Ends the program unless `call` throws contrib::Error with this status and a message that contains `words`.
template <typename Call>
void check_throws(contrib_status status, const char *words, Call call, int line) {
    try {
        call();
    } catch (const contrib::Error &error) {
        if (error.status() == status && std::string(error.what()).find(words) != std::string::npos) {
            return;
        }
        std::fprintf(stderr, "line %d: expected status %d and \"%s\", got %s: %s\n", line, status, words,
                     error.status_name(), error.what());
        std::exit(1);
    }
    std::fprintf(stderr, "line %d: expected status %d, got no exception\n", line, status);
    std::exit(1);
}

#define CHECK_THROWS(status, words, ...) check_throws(status, words, [&] { __VA_ARGS__; }, __LINE__)

// Numbers from -1 to 1 that look random, the same in each run.
inline std::vector<float> numbers(std::size_t n, std::uint32_t seed) {
    std::vector<float> all(n);
    std::uint32_t state = seed * 2654435761U + 1;
    for (float &number : all) {
        state = state * 1664525U + 1013904223U;
        number = static_cast<float>(state >> 8) / 8388608.0F - 1.0F;
    }
    return all;
}

// Have both the same bits?
template <typename T>
bool same_bits(const std::vector<T> &left, const std::vector<T> &right) {
    return left.size() == right.size() && std::memcmp(left.data(), right.data(), left.size() * sizeof(T)) == 0;
}

#endif

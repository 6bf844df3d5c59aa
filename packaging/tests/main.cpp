// The same in C++.
#include <contrib.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
    const std::vector<float> whole = {3, 1, 1, 3.5F}, parts = {2, 0, 1, 3, 1, 1, 0, 0, 0, 0, 0, 0.5F};
    std::vector<float> out(3);
    contrib::Contributions arguments;
    arguments.whole = whole;
    arguments.parts = {parts, 3, 4};
    arguments.out = out;
    contrib::contributions(arguments);
    std::printf("contrib %s: %g %g %g\n", contrib::version(), double{out[0]}, double{out[1]}, double{out[2]});
    return std::fabs(double{out[0]} - 12.0 / 17) < 1e-6 ? 0 : 1;
}

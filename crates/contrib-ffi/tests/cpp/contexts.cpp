// Contexts, prepared projections and errors: who owns what, and what is thrown.

#include "check.hpp"

#include <atomic>
#include <thread>
#include <type_traits>
#include <utility>

static_assert(!std::is_copy_constructible<contrib::Context>::value, "");
static_assert(!std::is_copy_assignable<contrib::Context>::value, "");
static_assert(std::is_nothrow_move_constructible<contrib::Context>::value, "");
static_assert(std::is_nothrow_move_assignable<contrib::Context>::value, "");
static_assert(!std::is_copy_constructible<contrib::PreparedProjection>::value, "");
static_assert(std::is_nothrow_move_constructible<contrib::PreparedProjection>::value, "");

struct Problem {
    // Large enough that more than one thread is worth it.
    std::vector<float> whole = numbers(256 * 512, 1), parts = numbers(16 * 256 * 512, 2);

    std::vector<float> solve(const contrib::Options &options) const {
        std::vector<float> out(16 * 256);
        contrib::Contributions arguments;
        arguments.whole = {whole, 256, 512};
        arguments.parts = {parts, 16, 256, 512};
        arguments.out = {out, 16, 256};
        contrib::contributions(arguments, options);
        return out;
    }
};

static void contexts_move_and_give_the_same_bits() {
    const Problem problem;
    const std::vector<float> expected = problem.solve({});
    contrib::Context context(2);
    CHECK(context.threads() == 2);
    contrib::Options options;
    options.context = &context;
    CHECK(same_bits(problem.solve(options), expected));

    contrib::Context moved(std::move(context));
    CHECK(moved.threads() == 2 && context.get() == nullptr);
    // What was moved from means the shared pool.
    CHECK(same_bits(problem.solve(options), expected));
    options.context = &moved;
    CHECK(same_bits(problem.solve(options), expected));
    context = std::move(moved);
    CHECK(context.threads() == 2);

    context.limit_kept_memory(1 << 20);
    context.release_memory();
    CHECK(context.kept_memory() == 0);
    context.limit_instruction_set(contrib::InstructionSet::portable);
    CHECK(context.instruction_set() == contrib::InstructionSet::portable);
    options.context = &context;
    CHECK(same_bits(problem.solve(options), expected));
}

static void a_hosts_function_runs_the_tasks() {
    const Problem problem;
    std::atomic<int> calls{0};
    contrib::Context context(3, [&calls](std::size_t n_tasks, const contrib::Task &task) {
        calls++;
        std::vector<std::thread> threads;
        for (std::size_t index = 1; index < n_tasks; index++) {
            threads.emplace_back([&task, index] { task(index); });
        }
        task(0);
        for (std::thread &thread : threads) {
            thread.join();
        }
    });
    // The function stays where it is.
    contrib::Context moved(std::move(context));
    contrib::Options options;
    options.context = &moved;
    CHECK(same_bits(problem.solve(options), problem.solve({})));
    CHECK(calls > 0 && moved.threads() == 3);
}

static void errors_are_thrown_and_leave_the_outputs_alone() {
    CHECK_THROWS(CONTRIB_ERROR_TOO_MANY_THREADS, "1024", contrib::Context(1025));
    CHECK_THROWS(CONTRIB_ERROR_NUMBER, "thread", contrib::Context(0, [](std::size_t, const contrib::Task &) {}));
    const std::vector<float> vector(4);
    CHECK_THROWS(CONTRIB_ERROR_RANK, "projection", contrib::PreparedProjection prepared(vector));

    std::vector<float> out(3, 7.0F);
    contrib::Contributions arguments;
    arguments.whole = vector;
    arguments.out = out;
    CHECK_THROWS(CONTRIB_ERROR_NULL_POINTER, "parts", contrib::contributions(arguments));
    const std::vector<float> parts(15);
    arguments.parts = {parts, 3, 5};
    CHECK_THROWS(CONTRIB_ERROR_SHAPE, "parts: ", contrib::contributions(arguments));
    contrib::Options options;
    options.norm = 0.5;
    arguments.parts = {parts, 3, 4};
    CHECK_THROWS(CONTRIB_ERROR_NORM, "norm", contrib::contributions(arguments, options));
    CHECK(out == std::vector<float>(3, 7.0F));
    try {
        contrib::contributions(arguments, options);
    } catch (const std::runtime_error &error) {
        CHECK(std::string(error.what()).find("norm") != std::string::npos);
    }
}

int main() {
    CHECK(std::string(contrib::version()) == CONTRIB_VERSION_STRING);
    CHECK(contrib::version_number() == CONTRIB_VERSION_NUMBER);
    contexts_move_and_give_the_same_bits();
    a_hosts_function_runs_the_tasks();
    errors_are_thrown_and_leave_the_outputs_alone();
    return 0;
}

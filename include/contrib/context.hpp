/// \file
/// The threads that calls use, and the memory that is kept for them.

#ifndef CONTRIB_CONTEXT_HPP
#define CONTRIB_CONTEXT_HPP

#include <contrib.h>

#include <contrib/error.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace contrib {

/// The kernels that calls use. All give the same bits.
enum class InstructionSet : std::int32_t {
    portable = CONTRIB_INSTRUCTION_SET_PORTABLE,
    avx2 = CONTRIB_INSTRUCTION_SET_AVX2,
    avx512 = CONTRIB_INSTRUCTION_SET_AVX512,
};

/// What a host's threads run: `task(index)`. Valid until the function that was given it returns.
class Task {
public:
    Task(contrib_task task, void *data) noexcept : task_(task), data_(data) {}

    void operator()(std::size_t index) const { task_(data_, index); }

private:
    contrib_task task_;
    void *data_;
};

/// A `contrib_context`: the threads that calls may use, and working memory kept between them. May be used by any number of
/// threads at once. It must outlive the calls that are given it.
class Context {
public:
    /// A function of a host that runs `task(index)` for each index below `n_tasks`: what `contrib_parallel_for` says.
    using ParallelFor = std::function<void(std::size_t n_tasks, const Task &task)>;

    /// A pool of `n_threads`, the calling thread among them; 0: one for each core.
    explicit Context(std::size_t n_threads = 0) { detail::check(contrib_context_new(n_threads, &context_)); }

    /// The threads of a host, `n_threads` of them. An exception that leaves `parallel_for` ends the program.
    Context(std::size_t n_threads, ParallelFor parallel_for)
        : parallel_for_(std::make_unique<ParallelFor>(std::move(parallel_for))) {
        detail::check(contrib_context_new_with_parallel_for(n_threads, run, parallel_for_.get(), &context_));
    }

    Context(Context &&other) noexcept
        : parallel_for_(std::move(other.parallel_for_)), context_(std::exchange(other.context_, nullptr)) {}

    Context &operator=(Context &&other) noexcept {
        std::swap(parallel_for_, other.parallel_for_);
        std::swap(context_, other.context_);
        return *this;
    }

    ~Context() { contrib_context_free(context_); }

    /// How many threads a call can use.
    std::size_t threads() const noexcept { return contrib_context_threads(context_); }

    /// Sets how many bytes of working memory are kept between calls at most.
    void limit_kept_memory(std::size_t bytes) const {
        detail::check(contrib_context_limit_kept_memory(context_, bytes));
    }

    /// How many bytes are kept now.
    std::size_t kept_memory() const noexcept { return contrib_context_kept_memory(context_); }

    /// Frees what is kept.
    void release_memory() const noexcept { contrib_context_release_memory(context_); }

    /// Keeps calls from using a greater instruction set. No call may be using the context.
    void limit_instruction_set(InstructionSet instruction_set) {
        detail::check(contrib_context_limit_instruction_set(context_, static_cast<std::int32_t>(instruction_set)));
    }

    /// The instruction set that calls use.
    InstructionSet instruction_set() const noexcept {
        return static_cast<InstructionSet>(contrib_context_instruction_set(context_));
    }

    /// The C object, which this one still owns. NULL after a move: calls then use the shared pool.
    contrib_context *get() const noexcept { return context_; }

private:
    static void run(void *user_data, std::size_t n_tasks, contrib_task task, void *task_data) noexcept {
        (*static_cast<const ParallelFor *>(user_data))(n_tasks, Task(task, task_data));
    }

    // At a fixed address, which the C object knows.
    std::unique_ptr<ParallelFor> parallel_for_;
    contrib_context *context_ = nullptr;
};

} // namespace contrib

#endif // CONTRIB_CONTEXT_HPP

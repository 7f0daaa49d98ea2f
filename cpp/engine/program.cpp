#include "engine/program.hpp"

#include <algorithm>
#include <chrono>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace qz::engine {
namespace {

int64_t now_ns() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Program::Program(size_t threads, size_t scratch, size_t scratch_bytes)
    : threads_(threads), scratch_(scratch), scratch_bytes_(scratch_bytes) {}

void Program::add(const std::string& kernel, size_t items, const Integers& integers, const Numbers& numbers) {
    const Row& row = row_named(kernel);
    steps_.emplace_back(row, arguments_of(row.operation, Fields(kernel, integers, numbers)), items);
}

void Program::run(const Frame& frame) noexcept {
    std::byte* const scratch = frame.arena + scratch_;
    for (Step& step : steps_) {
        const int64_t start = now_ns();
        const auto run = step.row->kernel->run;
        const size_t parts = std::min(threads_, step.items);
        if (parts <= 1) {
            run(step.arguments, frame, {0, step.items, scratch});
        } else {
#ifdef _OPENMP
#pragma omp parallel num_threads(static_cast<int>(parts))
            {
                const size_t n = static_cast<size_t>(omp_get_num_threads()), part = static_cast<size_t>(omp_get_thread_num());
                run(step.arguments, frame, {step.items * part / n, step.items * (part + 1) / n, scratch + part * scratch_bytes_});
            }
#else
            run(step.arguments, frame, {0, step.items, scratch});
#endif
        }
        step.last_ns.store(now_ns() - start, std::memory_order_relaxed);
    }
}

std::vector<int64_t> Program::last_ns() const {
    std::vector<int64_t> times;
    for (const Step& step : steps_) times.push_back(step.last_ns.load(std::memory_order_relaxed));
    return times;
}

}  // namespace qz::engine

// A network in one mode for inputs of one shape: steps that run one after another, each split over the threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "engine/kernel.hpp"

namespace qz::engine {

inline constexpr size_t ALIGNMENT = 64;

struct Step {
    Step(const Row& row, Arguments arguments, size_t items) : row(&row), arguments(std::move(arguments)), items(items) {}

    const Row* row;
    Arguments arguments;
    size_t items;  // independent pieces of work
    std::atomic<int64_t> last_ns{0};
};

class Program {
public:
    // scratch: where in the arena the memory of the parts begins; scratch_bytes: of one part, a multiple of ALIGNMENT.
    Program(size_t threads, size_t scratch, size_t scratch_bytes);
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    // Appends a step; Fault for an unknown kernel or a missing field.
    void add(const std::string& kernel, size_t items, const Integers& integers, const Numbers& numbers);

    // Runs all steps. May be called by several threads at once, each with a frame of its own; allocates nothing.
    void run(const Frame& frame) noexcept;

    std::vector<int64_t> last_ns() const;  // per step, of the last run; 0 before one

private:
    size_t threads_, scratch_, scratch_bytes_;
    std::deque<Step> steps_;  // a deque, as an atomic cannot move
};

}  // namespace qz::engine

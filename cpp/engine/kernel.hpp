// A kernel, and the row that makes it exist: for dispatch, for the tests that ask for equality, and for benchmarks.
//
// A new kernel is one file, cpp/kernels/<set>/<operation>_<operands>.cpp, which defines a Kernel of its own name, and one line in
// cpp/kernels/rows.inc: QZ_KERNEL(name, operation, operands, set, condition).
#pragma once

#include <cstddef>
#include <vector>

#include "engine/arguments.hpp"
#include "engine/frame.hpp"

namespace qz::engine {

// A layer's weights as they come: dense [out_channels][in_channels / groups][kernel_height][kernel_width];
// int16 integer weights v for operands u8, float for f32.
struct WeightShape {
    size_t out_channels, in_per_group, kernel_height, kernel_width, groups;

    size_t taps() const noexcept { return kernel_height * kernel_width; }
    size_t out_per_group() const noexcept { return out_channels / groups; }
    size_t size() const noexcept { return out_channels * in_per_group * taps(); }
};

struct Kernel {
    void (*run)(const Arguments& arguments, const Frame& frame, Part part) noexcept;
    size_t (*packed_bytes)(const WeightShape& shape) noexcept = nullptr;  // both null for kernels without weights
    void (*pack)(const WeightShape& shape, const void* weight, void* packed) noexcept = nullptr;
};

struct Row {
    const char *name, *operation, *operands, *set;
    bool (*is_supported)() noexcept;  // by this CPU
    const Kernel* kernel;
};

// All kernels, those of the fastest set first.
const std::vector<Row>& rows();

// Returns the row with this name; Fault where there is none, or the CPU cannot run it.
const Row& row_named(const std::string& name);

}  // namespace qz::engine

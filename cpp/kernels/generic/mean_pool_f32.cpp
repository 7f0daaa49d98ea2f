// The sum under each window in row-major order, one value after another, divided once: average, adaptive and global pooling.
#include "kernels/generic/pool.hpp"

namespace qz::engine {
namespace {

void join(float* out, const float* values, size_t n) noexcept {
    for (size_t c = 0; c < n; ++c) out[c] += values[c];
}

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    generic::pool(arguments, frame, part, join, [](float* out, size_t n, float divisor) {
        for (size_t c = 0; c < n; ++c) out[c] /= divisor;
    });
}

}  // namespace

extern const Kernel mean_pool_f32_generic;
constinit const Kernel mean_pool_f32_generic{.run = run};

}  // namespace qz::engine

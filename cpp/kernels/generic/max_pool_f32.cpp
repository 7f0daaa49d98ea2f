// The largest value under each window; NaN where there is one.
#include "kernels/generic/pool.hpp"

namespace qz::engine {
namespace {

void join(float* out, const float* values, size_t n) noexcept {
    for (size_t c = 0; c < n; ++c) out[c] = values[c] > out[c] || values[c] != values[c] ? values[c] : out[c];
}

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    generic::pool(arguments, frame, part, join, [](float*, size_t, float) {});
}

}  // namespace

extern const Kernel max_pool_f32_generic;
constinit const Kernel max_pool_f32_generic{.run = run};

}  // namespace qz::engine

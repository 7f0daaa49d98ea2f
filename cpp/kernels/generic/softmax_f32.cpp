// p = exp(x - max), p / sum(p); the sum in the order of the axis.
#include "engine/kernel.hpp"
#include "kernels/generic/functions.hpp"

namespace qz::engine {
namespace {

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    const Softmax& softmax = *std::get_if<Softmax>(&arguments);
    for (size_t item = part.first; item < part.last; ++item) {
        const size_t start = item / softmax.inner * softmax.n * softmax.inner + item % softmax.inner;
        const float* const x = frame.read<float>(softmax.source) + start;
        float* const out = frame.write<float>(softmax.target) + start;
        float largest = x[0], sum = 0;
        for (size_t i = 1; i < softmax.n; ++i) {
            const float value = x[i * softmax.inner];
            if (value > largest || value != value) largest = value;
        }
        for (size_t i = 0; i < softmax.n; ++i) {
            const float power = generic::exp(x[i * softmax.inner] - largest);
            out[i * softmax.inner] = power;
            sum += power;  // 0 + the first is exact
        }
        for (size_t i = 0; i < softmax.n; ++i) out[i * softmax.inner] /= sum;
    }
}

}  // namespace

extern const Kernel softmax_f32_generic;
constinit const Kernel softmax_f32_generic{.run = run};

}  // namespace qz::engine

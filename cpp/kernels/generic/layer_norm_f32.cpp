// mean = sum(x) / n, c = x - mean, variance = sum(c c) / n, c (1 / sqrt(variance + epsilon)) weight + bias; sums in order of memory.
#include <cmath>

#include "engine/kernel.hpp"

namespace qz::engine {
namespace {

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    const LayerNorm& norm = *std::get_if<LayerNorm>(&arguments);
    const float *const weight = frame.read<float>(norm.weight), *const bias = frame.read<float>(norm.bias);
    const float n = static_cast<float>(norm.n);
    for (size_t row = part.first; row < part.last; ++row) {
        const float* const x = frame.read<float>(norm.source) + row * norm.n;
        float* const out = frame.write<float>(norm.target) + row * norm.n;
        float sum = x[0];
        for (size_t i = 1; i < norm.n; ++i) sum += x[i];
        const float mean = sum / n;
        for (size_t i = 0; i < norm.n; ++i) out[i] = x[i] - mean;
        float squares = out[0] * out[0];
        for (size_t i = 1; i < norm.n; ++i) squares += out[i] * out[i];
        const float gain = 1.0f / std::sqrt(squares / n + norm.epsilon);
        for (size_t i = 0; i < norm.n; ++i) out[i] *= gain;
        if (weight)
            for (size_t i = 0; i < norm.n; ++i) out[i] *= weight[i];
        if (bias)
            for (size_t i = 0; i < norm.n; ++i) out[i] += bias[i];
    }
}

}  // namespace

extern const Kernel layer_norm_f32_generic;
constinit const Kernel layer_norm_f32_generic{.run = run};

}  // namespace qz::engine

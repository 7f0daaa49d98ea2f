#include <bit>
#include <cmath>

#include "training/codes.hpp"

namespace qz::training {
namespace {

bool quantize(size_t n, const float* x, float inverse, float zero, float top, uint8_t* q) noexcept {
    bool all_numbers = true;
    for (size_t i = 0; i < n; i++) {
        const float u = x[i] * inverse + zero;
        all_numbers &= u == u;
        const float above = u > 0 ? u : 0;  // clipping first is the same: both limits are integers
        q[i] = static_cast<uint8_t>(std::nearbyint(above < top ? above : top));
    }
    return all_numbers;
}

bool relu_quantize(size_t n, const float* x, float inverse, float zero, float top, float* r, uint8_t* q) noexcept {
    for (size_t i = 0; i < n; i++) r[i] = x[i] < 0 ? 0 : x[i];
    return quantize(n, x, inverse, zero, top, q);
}

// Round to nearest, ties to even; the values here are finite.
bf16 round_bf16(float x) noexcept {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    return static_cast<bf16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

void widen_bf16(size_t n, const uint8_t* q, float zero, bf16* out) noexcept {
    for (size_t i = 0; i < n; i++) out[i] = round_bf16(static_cast<float>(q[i]) - zero);
}

void widen_f32(size_t n, const uint8_t* q, float zero, float* out) noexcept {
    for (size_t i = 0; i < n; i++) out[i] = static_cast<float>(q[i]) - zero;
}

void group_sums(size_t rows, size_t channels, size_t groups, const uint8_t* q, int32_t* out) noexcept {
    const size_t width = channels / groups;
    for (size_t i = 0; i < rows * groups; i++) {
        int32_t sum = 0;
        for (size_t k = 0; k < width; k++) sum += q[i * width + k];
        out[i] = sum;
    }
}

}  // namespace

const CodeKernels codes_generic = {quantize, relu_quantize, widen_bf16, widen_f32, group_sums};

}  // namespace qz::training

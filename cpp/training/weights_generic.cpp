#include <bit>
#include <cmath>

#include "training/weights.hpp"

namespace qz::training {
namespace {

constexpr size_t LANES = 16;

// The scale of sums over sixteen lanes, added in order: every kernel adds in this order, so every kernel gives the same scale.
float least_squares(const double* weight_by_v, const double* v_by_v) noexcept {
    double above = 0, below = 0;
    for (size_t lane = 0; lane < LANES; lane++) {
        above += weight_by_v[lane];
        below += v_by_v[lane];
    }
    const double scale = above / below, least = 0x1p-30;
    return static_cast<float>(scale < least ? least : scale);
}

void code_row(size_t k, const float* weight, float range, size_t n_bits, const CodedRow* coded) noexcept {
    double weight_by_v[8][LANES] = {}, v_by_v[8][LANES] = {};
    for (size_t i = 0; i < k; i++) {
        const float level = std::floor(weight[i] * 128.0f / range) + 128.0f;
        const int code = static_cast<int>(level > 0 ? (level < 255 ? level : 255) : 0);
        for (size_t j = 0; j < n_bits; j++) {
            const int bits = coded[j].bits, v = 2 * (code >> (8 - bits)) + 1 - (1 << bits);
            coded[j].integer[i] = static_cast<int8_t>(bits == 8 ? code - 128 : v);
            coded[j].wide[i] = static_cast<bf16>(std::bit_cast<uint32_t>(static_cast<float>(v)) >> 16);
            weight_by_v[j][i % LANES] += static_cast<double>(weight[i]) * v;
            v_by_v[j][i % LANES] += static_cast<double>(v) * v;
        }
    }
    for (size_t j = 0; j < n_bits; j++) *coded[j].scale = least_squares(weight_by_v[j], v_by_v[j]);
}

float value(float x) noexcept { return x; }
float value(bf16 x) noexcept { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }

template <class T>
void divide(size_t n, const T* g, float scale, float* out) noexcept {
    for (size_t i = 0; i < n; i++) out[i] = value(g[i]) / scale;
}

}  // namespace

const WeightKernels weights_generic = {code_row, divide<float>, divide<bf16>};

}  // namespace qz::training

// Weight codes of one layer for all bit widths, and the gradient of integer weights back to the float master.
#pragma once

#include <cstddef>
#include <cstdint>

#include "training/codes.hpp"

namespace qz::training {

// Where the weights of one bit width of one output channel go.
struct CodedRow {
    int bits;         // b, 1 to 8
    int8_t* integer;  // [k]: v = 2 (code >> (8 - b)) + 1 - 2^b; at 8 bits code - 128
    bf16* wide;       // [k]: v, exact at any b
    float* scale;     // [1]: sum(W v) / sum(v v), at least 2^-30
};

struct WeightKernels {
    // code = clip(floor(W 128 / r) + 128, 0, 255) of one output channel, for all widths in `coded`.
    //   weight float32 [k], coded [n_bits] with n_bits up to 8; sums in float64, sixteen lanes added in order
    void (*code_row)(size_t k, const float* weight, float range, size_t n_bits, const CodedRow* coded) noexcept;

    // out[i] = g[i] / scale
    void (*divide_f32)(size_t n, const float* g, float scale, float* out) noexcept;
    void (*divide_bf16)(size_t n, const bf16* g, float scale, float* out) noexcept;
};

extern const WeightKernels weights_generic, weights_avx512;

}  // namespace qz::training

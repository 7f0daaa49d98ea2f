// Gradients of a unit: through y = norm(A), and through the window of the activation quantizer. Rows of channels.
// T is float or bf16; bfloat16 is rounded to nearest, ties to even.
#pragma once

#include <cstddef>

#include "training/codes.hpp"
#include "training/sums.hpp"

namespace qz::training {

struct GradientKernels {
    // total[0][c] += sum of g, total[1][c] += sum of g (A - shift[class][c]); products in float32, sums in float64.
    //   g, sums float32 [rows][channels]; shift float32 [classes][channels] or null; first as in SumKernels
    void (*norm_sums)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* shift,
                      Borders borders, double* total) noexcept;

    // out = by_g[c] g + (by_sum[c] A + constant[class][c])
    void (*norm_input_f32)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* by_g,
                           const float* by_sum, const float* constant, Borders borders, float* out) noexcept;
    void (*norm_input_bf16)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* by_g,
                            const float* by_sum, const float* constant, Borders borders, bf16* out) noexcept;

    // Window 1 for low <= u <= high, u = x inverse + zero: out = w(u) g inverse, lane[i % 16] += w(u) g (u - zero).
    //   g T [n], x, out float32 [n], lane float64 [16]
    void (*box_f32)(size_t n, const float* g, const float* x, float inverse, float zero, float low, float high, float* out,
                    double* lane) noexcept;
    void (*box_bf16)(size_t n, const bf16* g, const float* x, float inverse, float zero, float low, float high, float* out,
                     double* lane) noexcept;

    // Window max(0, 1 - |u - 1/2| p) p with p[c] = 1 / half width; lane[c % 16] as above.
    void (*triangle_f32)(size_t rows, size_t channels, const float* g, const float* x, float inverse, float zero, const float* peak,
                         float* out, double* lane) noexcept;
    void (*triangle_bf16)(size_t rows, size_t channels, const bf16* g, const float* x, float inverse, float zero, const float* peak,
                          float* out, double* lane) noexcept;
};

extern const GradientKernels gradients_generic, gradients_avx512;

}  // namespace qz::training

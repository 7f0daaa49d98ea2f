// Gradients of a unit: through y = norm(A), and through the window of the activation quantizer. Rows of channels.
// T is float or bf16; bfloat16 is rounded to nearest, ties to even.
#pragma once

#include <cstddef>

#include "training/codes.hpp"
#include "training/sums.hpp"

namespace qz::training {

// Where the gradient of codes passes to their value, in u = value inverse + zero.
struct Window {
    float inverse, zero, low, high;  // 1 for low <= u <= high
    const float* peak;               // instead: max(0, 1 - |u - 1/2| p) p with p[c] = 1 / half width; or null
};

// The window of the codes of y as one in the sums, which need no way through y and u then. Up to a factor per channel, which
// the caller applies: 1 for from <= A <= to; or, for the triangle, max(0, 1 - |A from + to|).
struct SumWindow {
    bool is_triangle;
    const float* from;  // [classes][channels]
    const float* to;
};

// Sums here are float32 over so many terms (rows; steps of 16 lanes), then float64: gradients are rounded to bfloat16 anyway,
// and widening each term would take longer than all the rest.
constexpr size_t FLOAT_TERMS = 32;

struct GradientKernels {
    // total[0][c] += sum of g, total[1][c] += sum of g (A - shift[class][c]).
    //   g, sums float32 [rows][channels]; shift float32 [classes][channels] or null; first as in SumKernels
    void (*norm_sums)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* shift,
                      Borders borders, double* total) noexcept;

    // out = by_g[c] g + (by_sum[c] A + constant[class][c])
    void (*norm_input_f32)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* by_g,
                           const float* by_sum, const float* constant, Borders borders, float* out) noexcept;
    void (*norm_input_bf16)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* by_g,
                            const float* by_sum, const float* constant, Borders borders, bf16* out) noexcept;

    // Both for the gradient w(A) g of y, where g is that of the codes of y.   g T [rows][channels]; by_g holds the window's factor
    void (*coded_sums_f32)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, SumWindow window,
                           const float* shift, Borders borders, double* total) noexcept;
    void (*coded_sums_bf16)(size_t first, size_t rows, size_t channels, const bf16* g, const float* sums, SumWindow window,
                            const float* shift, Borders borders, double* total) noexcept;
    void (*coded_input_f32)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, SumWindow window,
                            const float* by_g, const float* by_sum, const float* constant, Borders borders, float* out) noexcept;
    void (*coded_input_bf16)(size_t first, size_t rows, size_t channels, const bf16* g, const float* sums, SumWindow window,
                             const float* by_g, const float* by_sum, const float* constant, Borders borders, bf16* out) noexcept;

    // u = x inverse + zero: out = w(u) g inverse, plus skip where x > 0 (skip may be null); lane[c % 16] += w(u) g (u - zero).
    //   g T [rows][channels]; x, skip, out float32; lane float64 [16]
    void (*window_f32)(size_t rows, size_t channels, const float* g, const float* x, Window window, const float* skip, float* out,
                       double* lane) noexcept;
    void (*window_bf16)(size_t rows, size_t channels, const bf16* g, const float* x, Window window, const float* skip, float* out,
                        double* lane) noexcept;
};

extern const GradientKernels gradients_generic, gradients_avx512;

}  // namespace qz::training

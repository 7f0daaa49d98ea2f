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

// y = A m + t, as SumKernels::epilogue computes it
struct Epilogue {
    const float* multiplier;  // m [channels]
    const float* offset;      // t [classes][channels]
};

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

    // Both for the gradient w(u) g inverse, u = y inverse + zero, of y, where g is that of the codes of y:
    // total[2][c] += sum of w(u) g (u - zero) beside the two above.   g T [rows][channels], total [3][channels]
    void (*coded_sums_f32)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, Epilogue epilogue, Window window,
                           const float* shift, Borders borders, double* total) noexcept;
    void (*coded_sums_bf16)(size_t first, size_t rows, size_t channels, const bf16* g, const float* sums, Epilogue epilogue, Window window,
                            const float* shift, Borders borders, double* total) noexcept;
    void (*coded_input_f32)(size_t first, size_t rows, size_t channels, const float* g, const float* sums, Epilogue epilogue, Window window,
                            const float* by_g, const float* by_sum, const float* constant, Borders borders, float* out) noexcept;
    void (*coded_input_bf16)(size_t first, size_t rows, size_t channels, const bf16* g, const float* sums, Epilogue epilogue, Window window,
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

// Integer sums A, held as float32, rows of channels: their last step, their batch statistics, and y = A m + t.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qz::training {

// Which border class each pixel of an image belongs to: the sum V of the weights of its valid taps depends on nothing else.
struct Borders {
    const int32_t* class_of;  // int32 [area]; null: all pixels are of class 0
    size_t area;              // pixels of an image
};

struct SumKernels {
    // 8-bit weights: A := 2 A + S, with A = sum (code - 128) q. Returns the largest |A| before: below 2^24 the result is
    // float32(sum v q), rounded once.   A float32 [rows][channels], S int32 [rows][groups], |S| < 2^24
    float (*add_window_sums)(size_t rows, size_t channels, size_t groups, const int32_t* window, float* sums) noexcept;

    // total[0][c] += sum of A', total[1][c] += sum of A'^2, A' = A - shift[class][c].
    // In float64: exact, in any order, as long as the sum of squares stays below 2^53.
    //   first: index of the first row in the batch, for its class; shift float32 [classes][channels] or null; total [2][channels]
    void (*statistics)(size_t first, size_t rows, size_t channels, const float* sums, const float* shift, Borders borders,
                       double* total) noexcept;

    // y = A * m[c] + t[class][c]: one multiplication, one addition, each rounded. y may be A.
    void (*epilogue)(size_t first, size_t rows, size_t channels, const float* sums, const float* multiplier, const float* offset,
                     Borders borders, float* y) noexcept;

    // The same, and the codes of y for the layer that reads it: q = clip(rint(y inverse + zero), 0, top). Returns as quantize does.
    bool (*epilogue_codes)(size_t first, size_t rows, size_t channels, const float* sums, const float* multiplier, const float* offset,
                           Borders borders, float inverse, float zero, float top, float* y, uint8_t* q) noexcept;
};

extern const SumKernels sums_generic, sums_avx512;

}  // namespace qz::training

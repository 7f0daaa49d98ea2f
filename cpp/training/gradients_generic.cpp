#include "training/gradients.hpp"

#include <bit>
#include <cmath>

namespace qz::training {
namespace {

size_t class_at(Borders borders, size_t row) noexcept {
    return borders.class_of ? static_cast<size_t>(borders.class_of[row % borders.area]) : 0;
}

float value(float x) noexcept { return x; }
float value(bf16 x) noexcept { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }

void store(float x, float* to) noexcept { *to = x; }
void store(float x, bf16* to) noexcept {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    *to = static_cast<bf16>(x == x ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : 0x7fc0);
}

void norm_sums(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* shift, Borders borders,
               double* total) noexcept {
    for (size_t r = 0; r < rows; r++) {
        const size_t row_class = class_at(borders, first + r);
        for (size_t c = 0; c < channels; c++) {
            const float grad = g[r * channels + c];
            float a = sums[r * channels + c];
            if (shift) a -= shift[row_class * channels + c];
            total[c] += grad;
            total[channels + c] += grad * a;
        }
    }
}

template <class T>
void norm_input(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* by_g, const float* by_sum,
                const float* constant, Borders borders, T* out) noexcept {
    for (size_t r = 0; r < rows; r++) {
        const float* row_constant = constant + class_at(borders, first + r) * channels;
        for (size_t c = 0; c < channels; c++) {
            const size_t i = r * channels + c;
            store(g[i] * by_g[c] + (sums[i] * by_sum[c] + row_constant[c]), out + i);
        }
    }
}

template <class T>
void box(size_t n, const T* g, const float* x, float inverse, float zero, float low, float high, float* out, double* lane) noexcept {
    for (size_t i = 0; i < n; i++) {
        const float u = x[i] * inverse + zero;
        const float grad = u >= low && u <= high ? value(g[i]) : 0.0f;
        out[i] = grad * inverse;
        lane[i % 16] += grad * (u - zero);
    }
}

template <class T>
void triangle(size_t rows, size_t channels, const T* g, const float* x, float inverse, float zero, const float* peak, float* out,
              double* lane) noexcept {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < channels; c++) {
            const size_t i = r * channels + c;
            const float u = x[i] * inverse + zero;
            const float height = 1 - std::fabs(u - 0.5f) * peak[c];
            const float grad = value(g[i]) * ((height > 0 ? height : 0) * peak[c]);
            out[i] = grad * inverse;
            lane[c % 16] += grad * (u - zero);
        }
}

}  // namespace

const GradientKernels gradients_generic = {norm_sums,   norm_input<float>, norm_input<bf16>, box<float>,
                                           box<bf16>,   triangle<float>,   triangle<bf16>};

}  // namespace qz::training

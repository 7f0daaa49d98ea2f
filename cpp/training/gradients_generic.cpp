#include "training/gradients.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

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
    for (size_t from = 0; from < rows; from += FLOAT_TERMS)
        for (size_t c = 0; c < channels; c++) {
            float by_one = 0, by_sum = 0;
            for (size_t r = from; r < std::min(rows, from + FLOAT_TERMS); r++) {
                const float grad = g[r * channels + c];
                float a = sums[r * channels + c];
                if (shift) a -= shift[class_at(borders, first + r) * channels + c];
                by_one += grad;
                by_sum += grad * a;
            }
            total[c] += by_one;
            total[channels + c] += by_sum;
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

// w(u) g
float opened(float g, float u, const Window& window, size_t c) noexcept {
    if (!window.peak) return u >= window.low && u <= window.high ? g : 0.0f;
    const float height = 1 - std::fabs(u - 0.5f) * window.peak[c];
    return g * ((height > 0 ? height : 0) * window.peak[c]);
}

float opened(float g, float a, const SumWindow& window, size_t of_class) noexcept {
    if (!window.is_triangle) return a >= window.from[of_class] && a <= window.to[of_class] ? g : 0.0f;
    const float height = 1 - std::fabs(a * window.from[of_class] + window.to[of_class]);
    return g * (height > 0 ? height : 0);
}

template <class T>
void coded_sums(size_t first, size_t rows, size_t channels, const T* g, const float* sums, SumWindow window, const float* shift,
                Borders borders, double* total) noexcept {
    for (size_t from = 0; from < rows; from += FLOAT_TERMS)
        for (size_t c = 0; c < channels; c++) {
            float by_one = 0, by_sum = 0;
            for (size_t r = from; r < std::min(rows, from + FLOAT_TERMS); r++) {
                const size_t of_class = class_at(borders, first + r) * channels + c;
                float a = sums[r * channels + c];
                const float grad = opened(value(g[r * channels + c]), a, window, of_class);
                if (shift) a -= shift[of_class];
                by_one += grad;
                by_sum += grad * a;
            }
            total[c] += by_one;
            total[channels + c] += by_sum;
        }
}

template <class T>
void coded_input(size_t first, size_t rows, size_t channels, const T* g, const float* sums, SumWindow window, const float* by_g,
                 const float* by_sum, const float* constant, Borders borders, T* out) noexcept {
    for (size_t r = 0; r < rows; r++) {
        const size_t at = class_at(borders, first + r) * channels;
        for (size_t c = 0; c < channels; c++) {
            const size_t i = r * channels + c;
            store(opened(value(g[i]), sums[i], window, at + c) * by_g[c] + (sums[i] * by_sum[c] + constant[at + c]), out + i);
        }
    }
}

template <class T>
void through_window(size_t rows, size_t channels, const T* g, const float* x, Window window, const float* skip, float* out,
                    double* lane) noexcept {
    float by_step[16] = {};
    size_t terms = 0;
    const auto flush = [&] {
        for (size_t j = 0; j < 16; j++) lane[j] += std::exchange(by_step[j], 0.0f);
        terms = 0;
    };
    for (size_t r = 0; r < rows; r++)
        for (size_t from = 0; from < channels; from += 16) {
            for (size_t c = from; c < std::min(channels, from + 16); c++) {
                const size_t i = r * channels + c;
                const float u = x[i] * window.inverse + window.zero;
                const float through = opened(value(g[i]), u, window, c);
                out[i] = through * window.inverse + (skip && x[i] > 0 ? skip[i] : 0.0f);
                by_step[c - from] += through * (u - window.zero);
            }
            if (++terms == FLOAT_TERMS) flush();
        }
    flush();
}

}  // namespace

const GradientKernels gradients_generic = {norm_sums,        norm_input<float>,  norm_input<bf16>,      coded_sums<float>,    coded_sums<bf16>,
                                           coded_input<float>, coded_input<bf16>, through_window<float>, through_window<bf16>};

}  // namespace qz::training

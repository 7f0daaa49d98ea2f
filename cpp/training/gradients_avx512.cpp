#include <immintrin.h>

#include "training/gradients.hpp"

namespace qz::training {
namespace {

__mmask16 first_lanes(size_t n) noexcept { return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << n) - 1); }

size_t class_at(Borders borders, size_t row) noexcept {
    return borders.class_of ? static_cast<size_t>(borders.class_of[row % borders.area]) : 0;
}

__m512d low_half(__m512 x) noexcept { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
__m512d high_half(__m512 x) noexcept { return _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1))); }

__m512 load(__mmask16 live, const float* from) noexcept { return _mm512_maskz_loadu_ps(live, from); }
__m512 load(__mmask16 live, const bf16* from) noexcept {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(live, from)), 16));
}

void store(__mmask16 live, __m512 x, float* to) noexcept { _mm512_mask_storeu_ps(to, live, x); }
void store(__mmask16 live, __m512 x, bf16* to) noexcept {
    // by hand: VCVTNEPS2BF16 takes denormals for zero, and would need one more instruction set
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    _mm256_mask_storeu_epi16(to, live, _mm512_cvtepi32_epi16(_mm512_mask_set1_epi32(rounded, nan, 0x7fc0)));
}

void add_to(double* total, __mmask16 live, __m512 x) noexcept {
    const __m512d value[2] = {low_half(x), high_half(x)};
    for (int half = 0; half < 2; half++) {
        const __mmask8 mask = static_cast<__mmask8>(live >> (8 * half));
        _mm512_mask_storeu_pd(total + 8 * half, mask, _mm512_add_pd(_mm512_maskz_loadu_pd(mask, total + 8 * half), value[half]));
    }
}

template <int BLOCKS>
void norm_sums_of(size_t first, size_t rows, size_t channels, size_t at, __mmask16 live, const float* g, const float* sums,
                  const float* shift, Borders borders, double* total) noexcept {
    for (size_t from = 0; from < rows; from += FLOAT_TERMS) {
        __m512 by_one[BLOCKS], by_sum[BLOCKS];
        for (int b = 0; b < BLOCKS; b++) by_one[b] = by_sum[b] = _mm512_setzero_ps();
        const size_t to = rows - from < FLOAT_TERMS ? rows : from + FLOAT_TERMS;
        for (size_t r = from; r < to; r++) {
            const size_t row = r * channels + at;
            const float* row_shift = shift ? shift + class_at(borders, first + r) * channels + at : nullptr;
            for (int b = 0; b < BLOCKS; b++) {
                const __m512 grad = load(live, g + row + 16 * b);
                __m512 a = load(live, sums + row + 16 * b);
                if (row_shift) a = _mm512_sub_ps(a, load(live, row_shift + 16 * b));
                by_one[b] = _mm512_add_ps(by_one[b], grad);
                by_sum[b] = _mm512_add_ps(by_sum[b], _mm512_mul_ps(grad, a));
            }
        }
        for (int b = 0; b < BLOCKS; b++) {
            add_to(total + at + 16 * b, live, by_one[b]);
            add_to(total + channels + at + 16 * b, live, by_sum[b]);
        }
    }
}

void norm_sums(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* shift, Borders borders,
               double* total) noexcept {
    size_t c = 0;
    for (; c + 64 <= channels; c += 64) norm_sums_of<4>(first, rows, channels, c, 0xffff, g, sums, shift, borders, total);
    for (; c + 32 <= channels; c += 32) norm_sums_of<2>(first, rows, channels, c, 0xffff, g, sums, shift, borders, total);
    for (; c < channels; c += 16)
        norm_sums_of<1>(first, rows, channels, c, first_lanes(channels - c), g, sums, shift, borders, total);
}

template <class T>
void norm_input(size_t first, size_t rows, size_t channels, const float* g, const float* sums, const float* by_g, const float* by_sum,
                const float* constant, Borders borders, T* out) noexcept {
    for (size_t c = 0; c < channels; c += 16) {  // what belongs to channels stays in registers while the rows go by
        const __mmask16 live = first_lanes(channels - c);
        const __m512 of_g = load(live, by_g + c), of_sum = load(live, by_sum + c);
        __m512 rest = load(live, constant + c);
        for (size_t r = 0; r < rows; r++) {
            const size_t i = r * channels + c;
            if (borders.class_of) rest = load(live, constant + class_at(borders, first + r) * channels + c);
            const __m512 by_a = _mm512_add_ps(_mm512_mul_ps(load(live, sums + i), of_sum), rest);
            store(live, _mm512_add_ps(_mm512_mul_ps(load(live, g + i), of_g), by_a), out + i);
        }
    }
}

// The window in registers; the order of operations is that of the plain loops.
template <bool TRIANGLE>
struct Opening {
    __m512 inverse, zero, low, high;
    const float* peak;

    explicit Opening(const Window& window) noexcept
        : inverse(_mm512_set1_ps(window.inverse)), zero(_mm512_set1_ps(window.zero)), low(_mm512_set1_ps(window.low)),
          high(_mm512_set1_ps(window.high)), peak(window.peak) {}

    __m512 position(__m512 x) const noexcept { return _mm512_add_ps(_mm512_mul_ps(x, inverse), zero); }

    // w(u) g of 16 channels from c
    __m512 through(__mmask16 live, __m512 g, __m512 u, size_t c) const noexcept {
        if constexpr (TRIANGLE) {
            const __m512 p = load(live, peak + c);
            const __m512 distance = _mm512_abs_ps(_mm512_sub_ps(u, _mm512_set1_ps(0.5f)));
            const __m512 height = _mm512_sub_ps(_mm512_set1_ps(1), _mm512_mul_ps(distance, p));
            return _mm512_mul_ps(g, _mm512_mul_ps(_mm512_max_ps(height, _mm512_setzero_ps()), p));
        } else {
            const __mmask16 open = _mm512_cmp_ps_mask(u, low, _CMP_GE_OQ) & _mm512_cmp_ps_mask(u, high, _CMP_LE_OQ);
            return _mm512_maskz_mov_ps(open, g);
        }
    }
};

// The window in the sums of 16 channels, of one border class.
template <bool TRIANGLE>
struct SumOpening {
    __m512 from, to;

    SumOpening(__mmask16 live, const SumWindow& window, size_t of_class) noexcept
        : from(load(live, window.from + of_class)), to(load(live, window.to + of_class)) {}

    __m512 through(__m512 g, __m512 a) const noexcept {
        if constexpr (TRIANGLE) {
            const __m512 distance = _mm512_abs_ps(_mm512_add_ps(_mm512_mul_ps(a, from), to));
            return _mm512_mul_ps(g, _mm512_max_ps(_mm512_sub_ps(_mm512_set1_ps(1), distance), _mm512_setzero_ps()));
        } else {
            const __mmask16 open = _mm512_cmp_ps_mask(a, from, _CMP_GE_OQ) & _mm512_cmp_ps_mask(a, to, _CMP_LE_OQ);
            return _mm512_maskz_mov_ps(open, g);
        }
    }
};

template <bool TRIANGLE, class T>
void coded_sums_of(size_t first, size_t rows, size_t channels, const T* g, const float* sums, const SumWindow& window, const float* shift,
                   Borders borders, double* total) noexcept {
    for (size_t from = 0; from < rows; from += FLOAT_TERMS) {
        const size_t to = rows - from < FLOAT_TERMS ? rows : from + FLOAT_TERMS;
        for (size_t c = 0; c < channels; c += 16) {
            const __mmask16 live = first_lanes(channels - c);
            SumOpening<TRIANGLE> opening(live, window, c);
            __m512 by_one = _mm512_setzero_ps(), by_sum = by_one;
            for (size_t r = from; r < to; r++) {
                const size_t i = r * channels + c, of_class = class_at(borders, first + r) * channels + c;
                if (borders.class_of) opening = SumOpening<TRIANGLE>(live, window, of_class);
                __m512 a = load(live, sums + i);
                const __m512 grad = opening.through(load(live, g + i), a);
                if (shift) a = _mm512_sub_ps(a, load(live, shift + of_class));
                by_one = _mm512_add_ps(by_one, grad);
                by_sum = _mm512_add_ps(by_sum, _mm512_mul_ps(grad, a));
            }
            add_to(total + c, live, by_one);
            add_to(total + channels + c, live, by_sum);
        }
    }
}

template <class T>
void coded_sums(size_t first, size_t rows, size_t channels, const T* g, const float* sums, SumWindow window, const float* shift,
                Borders borders, double* total) noexcept {
    (window.is_triangle ? coded_sums_of<true, T> : coded_sums_of<false, T>)(first, rows, channels, g, sums, window, shift, borders, total);
}

template <bool TRIANGLE, class T>
void coded_input_of(size_t first, size_t rows, size_t channels, const T* g, const float* sums, const SumWindow& window, const float* by_g,
                    const float* by_sum, const float* constant, Borders borders, T* out) noexcept {
    for (size_t c = 0; c < channels; c += 16) {  // what belongs to channels stays in registers while the rows go by
        const __mmask16 live = first_lanes(channels - c);
        SumOpening<TRIANGLE> opening(live, window, c);
        const __m512 of_g = load(live, by_g + c), of_sum = load(live, by_sum + c);
        __m512 rest = load(live, constant + c);
        for (size_t r = 0; r < rows; r++) {
            const size_t i = r * channels + c;
            if (borders.class_of) {
                const size_t of_class = class_at(borders, first + r) * channels + c;
                rest = load(live, constant + of_class);
                opening = SumOpening<TRIANGLE>(live, window, of_class);
            }
            const __m512 a = load(live, sums + i), grad = opening.through(load(live, g + i), a);
            store(live, _mm512_add_ps(_mm512_mul_ps(grad, of_g), _mm512_add_ps(_mm512_mul_ps(a, of_sum), rest)), out + i);
        }
    }
}

template <class T>
void coded_input(size_t first, size_t rows, size_t channels, const T* g, const float* sums, SumWindow window, const float* by_g,
                 const float* by_sum, const float* constant, Borders borders, T* out) noexcept {
    (window.is_triangle ? coded_input_of<true, T> : coded_input_of<false, T>)(first, rows, channels, g, sums, window, by_g, by_sum,
                                                                             constant, borders, out);
}

template <bool TRIANGLE, class T>
void through_window_of(size_t rows, size_t channels, const T* g, const float* x, const Window& window, const float* skip, float* out,
                       double* lane) noexcept {
    const Opening<TRIANGLE> opening(window);
    __m512 by_step = _mm512_setzero_ps();
    size_t terms = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < channels; c += 16) {
            const __mmask16 live = first_lanes(channels - c);
            const size_t i = r * channels + c;
            const __m512 value = load(live, x + i), u = opening.position(value);
            const __m512 through = opening.through(live, load(live, g + i), u, c);
            const __mmask16 positive = skip ? _mm512_mask_cmp_ps_mask(live, value, _mm512_setzero_ps(), _CMP_GT_OQ) : 0;
            const __m512 beside = _mm512_maskz_loadu_ps(positive, skip + i);
            store(live, _mm512_add_ps(_mm512_mul_ps(through, opening.inverse), beside), out + i);
            by_step = _mm512_add_ps(by_step, _mm512_maskz_mul_ps(live, through, _mm512_sub_ps(u, opening.zero)));
            if (++terms == FLOAT_TERMS) {
                add_to(lane, 0xffff, by_step);
                by_step = _mm512_setzero_ps();
                terms = 0;
            }
        }
    add_to(lane, 0xffff, by_step);
}

template <class T>
void through_window(size_t rows, size_t channels, const T* g, const float* x, Window window, const float* skip, float* out,
                    double* lane) noexcept {
    (window.peak ? through_window_of<true, T> : through_window_of<false, T>)(rows, channels, g, x, window, skip, out, lane);
}

}  // namespace

const GradientKernels gradients_avx512 = {norm_sums,          norm_input<float>, norm_input<bf16>,      coded_sums<float>,    coded_sums<bf16>,
                                          coded_input<float>, coded_input<bf16>, through_window<float>, through_window<bf16>};

}  // namespace qz::training

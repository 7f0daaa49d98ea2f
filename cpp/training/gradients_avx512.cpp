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
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    _mm256_mask_storeu_epi16(to, live, _mm512_cvtepi32_epi16(_mm512_mask_set1_epi32(rounded, nan, 0x7fc0)));
}

template <int BLOCKS>
void norm_sums_of(size_t first, size_t rows, size_t channels, size_t at, __mmask16 live, const float* g, const float* sums,
                  const float* shift, Borders borders, double* total) noexcept {
    __m512d by_one[BLOCKS][2], by_sum[BLOCKS][2];
    for (int b = 0; b < BLOCKS; b++)
        for (int half = 0; half < 2; half++) by_one[b][half] = by_sum[b][half] = _mm512_setzero_pd();
    for (size_t r = 0; r < rows; r++) {
        const size_t row = r * channels + at;
        const float* row_shift = shift ? shift + class_at(borders, first + r) * channels + at : nullptr;
        for (int b = 0; b < BLOCKS; b++) {
            const __m512 grad = load(live, g + row + 16 * b);
            __m512 a = load(live, sums + row + 16 * b);
            if (row_shift) a = _mm512_sub_ps(a, load(live, row_shift + 16 * b));
            const __m512 product = _mm512_mul_ps(grad, a);
            by_one[b][0] = _mm512_add_pd(by_one[b][0], low_half(grad));
            by_one[b][1] = _mm512_add_pd(by_one[b][1], high_half(grad));
            by_sum[b][0] = _mm512_add_pd(by_sum[b][0], low_half(product));
            by_sum[b][1] = _mm512_add_pd(by_sum[b][1], high_half(product));
        }
    }
    for (int b = 0; b < BLOCKS; b++)
        for (int half = 0; half < 2; half++) {
            const __mmask8 mask = static_cast<__mmask8>(live >> (8 * half));
            double* to[2] = {total + at + 16 * b + 8 * half, total + channels + at + 16 * b + 8 * half};
            _mm512_mask_storeu_pd(to[0], mask, _mm512_add_pd(_mm512_maskz_loadu_pd(mask, to[0]), by_one[b][half]));
            _mm512_mask_storeu_pd(to[1], mask, _mm512_add_pd(_mm512_maskz_loadu_pd(mask, to[1]), by_sum[b][half]));
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
    for (size_t r = 0; r < rows; r++) {
        const float* row_constant = constant + class_at(borders, first + r) * channels;
        for (size_t c = 0; c < channels; c += 16) {
            const __mmask16 live = first_lanes(channels - c);
            const size_t i = r * channels + c;
            const __m512 rest = _mm512_add_ps(_mm512_mul_ps(load(live, sums + i), load(live, by_sum + c)), load(live, row_constant + c));
            store(live, _mm512_add_ps(_mm512_mul_ps(load(live, g + i), load(live, by_g + c)), rest), out + i);
        }
    }
}

struct Lanes {
    __m512d low, high;
    explicit Lanes(const double* lane) noexcept : low(_mm512_loadu_pd(lane)), high(_mm512_loadu_pd(lane + 8)) {}
    void add(__m512 x) noexcept {
        low = _mm512_add_pd(low, low_half(x));
        high = _mm512_add_pd(high, high_half(x));
    }
    void save(double* lane) const noexcept {
        _mm512_storeu_pd(lane, low);
        _mm512_storeu_pd(lane + 8, high);
    }
};

template <class T>
void box(size_t n, const T* g, const float* x, float inverse, float zero, float low, float high, float* out, double* lane) noexcept {
    const __m512 vi = _mm512_set1_ps(inverse), vz = _mm512_set1_ps(zero), from = _mm512_set1_ps(low), to = _mm512_set1_ps(high);
    Lanes lanes(lane);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 live = first_lanes(n - i);
        const __m512 u = _mm512_add_ps(_mm512_mul_ps(load(live, x + i), vi), vz);
        const __mmask16 open = _mm512_cmp_ps_mask(u, from, _CMP_GE_OQ) & _mm512_cmp_ps_mask(u, to, _CMP_LE_OQ);
        const __m512 grad = _mm512_maskz_mov_ps(open, load(live, g + i));
        store(live, _mm512_mul_ps(grad, vi), out + i);
        lanes.add(_mm512_mul_ps(grad, _mm512_sub_ps(u, vz)));
    }
    lanes.save(lane);
}

template <class T>
void triangle(size_t rows, size_t channels, const T* g, const float* x, float inverse, float zero, const float* peak, float* out,
              double* lane) noexcept {
    const __m512 vi = _mm512_set1_ps(inverse), vz = _mm512_set1_ps(zero), one = _mm512_set1_ps(1), center = _mm512_set1_ps(0.5f);
    Lanes lanes(lane);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < channels; c += 16) {
            const __mmask16 live = first_lanes(channels - c);
            const size_t i = r * channels + c;
            const __m512 p = load(live, peak + c);
            const __m512 u = _mm512_add_ps(_mm512_mul_ps(load(live, x + i), vi), vz);
            const __m512 height = _mm512_sub_ps(one, _mm512_mul_ps(_mm512_abs_ps(_mm512_sub_ps(u, center)), p));
            const __m512 grad = _mm512_mul_ps(load(live, g + i), _mm512_mul_ps(_mm512_max_ps(height, _mm512_setzero_ps()), p));
            store(live, _mm512_mul_ps(grad, vi), out + i);
            lanes.add(_mm512_mul_ps(grad, _mm512_sub_ps(u, vz)));
        }
    lanes.save(lane);
}

}  // namespace

const GradientKernels gradients_avx512 = {norm_sums,   norm_input<float>, norm_input<bf16>, box<float>,
                                          box<bf16>,   triangle<float>,   triangle<bf16>};

}  // namespace qz::training

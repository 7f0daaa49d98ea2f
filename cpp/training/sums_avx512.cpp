#include <immintrin.h>

#include "training/sums.hpp"

namespace qz::training {
namespace {

__mmask16 first_lanes(size_t n) noexcept { return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << n) - 1); }

size_t class_at(Borders borders, size_t row) noexcept {
    return borders.class_of ? static_cast<size_t>(borders.class_of[row % borders.area]) : 0;
}

__m512d low(__m512 x) noexcept { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
__m512d high(__m512 x) noexcept { return _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1))); }

float add_window_sums(size_t rows, size_t channels, size_t groups, const int32_t* window, float* sums) noexcept {
    const size_t width = channels / groups;
    const __m512 two = _mm512_set1_ps(2);
    __m512 largest = _mm512_setzero_ps();
    if (width == 1) {  // depthwise: a window sum of its own for every value
        for (size_t i = 0; i < rows * channels; i += 16) {
            const __mmask16 live = first_lanes(rows * channels - i);
            const __m512 a = _mm512_maskz_loadu_ps(live, sums + i);
            const __m512 s = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(live, window + i));
            largest = _mm512_max_ps(largest, _mm512_abs_ps(a));
            _mm512_mask_storeu_ps(sums + i, live, _mm512_add_ps(_mm512_mul_ps(a, two), s));
        }
        return _mm512_reduce_max_ps(largest);
    }
    for (size_t g = 0; g < rows * groups; g++) {
        const __m512 s = _mm512_set1_ps(static_cast<float>(window[g]));
        float* group = sums + g * width;
        for (size_t c = 0; c < width; c += 16) {
            const __mmask16 live = first_lanes(width - c);
            const __m512 a = _mm512_maskz_loadu_ps(live, group + c);
            largest = _mm512_max_ps(largest, _mm512_abs_ps(a));
            _mm512_mask_storeu_ps(group + c, live, _mm512_add_ps(_mm512_mul_ps(a, two), s));
        }
    }
    return _mm512_reduce_max_ps(largest);
}

// Blocks of 16 channels keep their four accumulators in registers while the rows go by; several blocks at once keep the
// reads of wide rows together.
template <int BLOCKS>
void statistics_of(size_t first, size_t rows, size_t channels, size_t at, __mmask16 live, const float* sums, const float* shift,
                   Borders borders, double* total) noexcept {
    __m512d sum[BLOCKS][2], square[BLOCKS][2];
    for (int b = 0; b < BLOCKS; b++)
        for (int half = 0; half < 2; half++) sum[b][half] = square[b][half] = _mm512_setzero_pd();
    for (size_t r = 0; r < rows; r++) {
        const float* row = sums + r * channels + at;
        const float* row_shift = shift ? shift + class_at(borders, first + r) * channels + at : nullptr;
        for (int b = 0; b < BLOCKS; b++) {
            const __m512 a = _mm512_maskz_loadu_ps(live, row + 16 * b);
            __m512d value[2] = {low(a), high(a)};
            if (row_shift) {
                const __m512 z = _mm512_maskz_loadu_ps(live, row_shift + 16 * b);
                value[0] = _mm512_sub_pd(value[0], low(z));
                value[1] = _mm512_sub_pd(value[1], high(z));
            }
            for (int half = 0; half < 2; half++) {
                sum[b][half] = _mm512_add_pd(sum[b][half], value[half]);
                square[b][half] = _mm512_add_pd(square[b][half], _mm512_mul_pd(value[half], value[half]));
            }
        }
    }
    for (int b = 0; b < BLOCKS; b++)
        for (int half = 0; half < 2; half++) {
            const __mmask8 mask = static_cast<__mmask8>(live >> (8 * half));
            double* to[2] = {total + at + 16 * b + 8 * half, total + channels + at + 16 * b + 8 * half};
            _mm512_mask_storeu_pd(to[0], mask, _mm512_add_pd(_mm512_maskz_loadu_pd(mask, to[0]), sum[b][half]));
            _mm512_mask_storeu_pd(to[1], mask, _mm512_add_pd(_mm512_maskz_loadu_pd(mask, to[1]), square[b][half]));
        }
}

void statistics(size_t first, size_t rows, size_t channels, const float* sums, const float* shift, Borders borders,
                double* total) noexcept {
    size_t c = 0;
    for (; c + 64 <= channels; c += 64) statistics_of<4>(first, rows, channels, c, 0xffff, sums, shift, borders, total);
    for (; c + 32 <= channels; c += 32) statistics_of<2>(first, rows, channels, c, 0xffff, sums, shift, borders, total);
    for (; c < channels; c += 16) statistics_of<1>(first, rows, channels, c, first_lanes(channels - c), sums, shift, borders, total);
}

void epilogue(size_t first, size_t rows, size_t channels, const float* sums, const float* multiplier, const float* offset,
              Borders borders, float* y) noexcept {
    for (size_t r = 0; r < rows; r++) {
        const float* row_offset = offset + class_at(borders, first + r) * channels;
        for (size_t c = 0; c < channels; c += 16) {
            const __mmask16 live = first_lanes(channels - c);
            const __m512 product = _mm512_mul_ps(_mm512_maskz_loadu_ps(live, sums + r * channels + c), _mm512_maskz_loadu_ps(live, multiplier + c));
            _mm512_mask_storeu_ps(y + r * channels + c, live, _mm512_add_ps(product, _mm512_maskz_loadu_ps(live, row_offset + c)));
        }
    }
}

bool epilogue_codes(size_t first, size_t rows, size_t channels, const float* sums, const float* multiplier, const float* offset,
                    Borders borders, float inverse, float zero, float top, float* y, uint8_t* q) noexcept {
    const __m512 vi = _mm512_set1_ps(inverse), vz = _mm512_set1_ps(zero), vt = _mm512_set1_ps(top);
    __mmask16 bad = 0;
    for (size_t c = 0; c < channels; c += 16) {
        const __mmask16 live = first_lanes(channels - c);
        const __m512 m = _mm512_maskz_loadu_ps(live, multiplier + c);
        __m512 t = _mm512_maskz_loadu_ps(live, offset + c);
        for (size_t r = 0; r < rows; r++) {
            const size_t i = r * channels + c;
            if (borders.class_of) t = _mm512_maskz_loadu_ps(live, offset + class_at(borders, first + r) * channels + c);
            const __m512 value = _mm512_add_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(live, sums + i), m), t);
            _mm512_mask_storeu_ps(y + i, live, value);
            const __m512 u = _mm512_add_ps(_mm512_mul_ps(value, vi), vz);
            bad |= _mm512_mask_cmp_ps_mask(live, u, u, _CMP_UNORD_Q);
            const __m512 clipped = _mm512_min_ps(_mm512_max_ps(u, _mm512_setzero_ps()), vt);  // max(NaN, 0) is its second operand
            _mm_mask_storeu_epi8(q + i, live, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(clipped)));
        }
    }
    return bad == 0;
}

}  // namespace

const SumKernels sums_avx512 = {add_window_sums, statistics, epilogue, epilogue_codes};

}  // namespace qz::training

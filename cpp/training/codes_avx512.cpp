#include <immintrin.h>

#include "training/codes.hpp"

namespace qz::training {
namespace {

__mmask16 first(size_t n) noexcept { return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << n) - 1); }

bool quantize(size_t n, const float* x, float inverse, float zero, float top, uint8_t* q) noexcept {
    const __m512 vi = _mm512_set1_ps(inverse), vz = _mm512_set1_ps(zero), vt = _mm512_set1_ps(top), none = _mm512_setzero_ps();
    __mmask16 bad = 0;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 live = first(n - i);
        const __m512 u = _mm512_add_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(live, x + i), vi), vz);
        bad |= _mm512_mask_cmp_ps_mask(live, u, u, _CMP_UNORD_Q);
        const __m512 clipped = _mm512_min_ps(_mm512_max_ps(u, none), vt);  // max(NaN, 0) is its second operand
        _mm_mask_storeu_epi8(q + i, live, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(clipped)));
    }
    return bad == 0;
}

bool relu_quantize(size_t n, const float* x, float inverse, float zero, float top, float* r, uint8_t* q) noexcept {
    const __m512 vi = _mm512_set1_ps(inverse), vz = _mm512_set1_ps(zero), vt = _mm512_set1_ps(top), none = _mm512_setzero_ps();
    __mmask16 bad = 0;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 live = first(n - i);
        const __m512 value = _mm512_maskz_loadu_ps(live, x + i);
        _mm512_mask_storeu_ps(r + i, live, _mm512_max_ps(none, value));  // max(0, NaN) is NaN: the second operand
        const __m512 u = _mm512_add_ps(_mm512_mul_ps(value, vi), vz);
        bad |= _mm512_mask_cmp_ps_mask(live, u, u, _CMP_UNORD_Q);
        const __m512 clipped = _mm512_min_ps(_mm512_max_ps(u, none), vt);
        _mm_mask_storeu_epi8(q + i, live, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(clipped)));
    }
    return bad == 0;
}

__m512 load_codes(__mmask16 live, const uint8_t* q) noexcept {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(live, q)));
}

__m256i round_bf16(__m512 x) noexcept {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16));
}

void widen_bf16(size_t n, const uint8_t* q, float zero, bf16* out) noexcept {
    const __m512 vz = _mm512_set1_ps(zero);
    if (zero == 0) {  // codes have 8 bits: nothing to round
        for (size_t i = 0; i < n; i += 16) {
            const __mmask16 live = first(n - i);
            const __m512i bits = _mm512_castps_si512(load_codes(live, q + i));
            _mm256_mask_storeu_epi16(out + i, live, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
        }
        return;
    }
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 live = first(n - i);
        _mm256_mask_storeu_epi16(out + i, live, round_bf16(_mm512_sub_ps(load_codes(live, q + i), vz)));
    }
}

void widen_f32(size_t n, const uint8_t* q, float zero, float* out) noexcept {
    const __m512 vz = _mm512_set1_ps(zero);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 live = first(n - i);
        _mm512_mask_storeu_ps(out + i, live, _mm512_sub_ps(load_codes(live, q + i), vz));
    }
}

void group_sums(size_t rows, size_t channels, size_t groups, const uint8_t* q, int32_t* out) noexcept {
    const size_t width = channels / groups, n = rows * groups;
    if (width == 1) {
        for (size_t i = 0; i < n; i += 16) {
            const __mmask16 live = first(n - i);
            _mm512_mask_storeu_epi32(out + i, live, _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(live, q + i)));
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        __m512i sum = _mm512_setzero_si512();
        for (size_t k = 0; k < width; k += 64) {
            const size_t left = width - k;
            const __mmask64 live = left >= 64 ? ~0ull : (1ull << left) - 1;
            // eight bytes to one 64-bit sum
            sum = _mm512_add_epi64(sum, _mm512_sad_epu8(_mm512_maskz_loadu_epi8(live, q + i * width + k), _mm512_setzero_si512()));
        }
        out[i] = static_cast<int32_t>(_mm512_reduce_add_epi64(sum));
    }
}

}  // namespace

const CodeKernels codes_avx512 = {quantize, relu_quantize, widen_bf16, widen_f32, group_sums};

}  // namespace qz::training

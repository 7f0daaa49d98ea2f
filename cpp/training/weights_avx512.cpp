#include <immintrin.h>

#include "training/weights.hpp"

namespace qz::training {
namespace {

__mmask16 first_lanes(size_t n) noexcept { return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << n) - 1); }

__m512d low(__m512 x) noexcept { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
__m512d high(__m512 x) noexcept { return _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1))); }

double add_in_order(__m512d lanes_low, __m512d lanes_high) noexcept {
    double lane[16], sum = 0;
    _mm512_storeu_pd(lane, lanes_low);
    _mm512_storeu_pd(lane + 8, lanes_high);
    for (int i = 0; i < 16; i++) sum += lane[i];
    return sum;
}

void code_row(size_t k, const float* weight, float range, size_t n_bits, const CodedRow* coded) noexcept {
    const __m512 up = _mm512_set1_ps(128), r = _mm512_set1_ps(range), top = _mm512_set1_ps(255), none = _mm512_setzero_ps();
    __m512d weight_by_v[8][2];
    __m512i v_by_v[8];  // int32: v^2 < 2^16, so 2^15 of them fit in a lane, k < 2^19
    for (size_t j = 0; j < n_bits; j++) {
        weight_by_v[j][0] = weight_by_v[j][1] = _mm512_setzero_pd();
        v_by_v[j] = _mm512_setzero_si512();
    }
    for (size_t i = 0; i < k; i += 16) {
        const __mmask16 live = first_lanes(k - i);
        const __m512 w = _mm512_maskz_loadu_ps(live, weight + i);
        const __m512 level = _mm512_add_ps(_mm512_roundscale_ps(_mm512_div_ps(_mm512_mul_ps(w, up), r), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC), up);
        const __m512i code = _mm512_cvttps_epi32(_mm512_min_ps(_mm512_max_ps(level, none), top));
        for (size_t j = 0; j < n_bits; j++) {
            const int bits = coded[j].bits;
            const __m512i shifted = _mm512_slli_epi32(_mm512_srl_epi32(code, _mm_cvtsi32_si128(8 - bits)), 1);
            const __m512i v = _mm512_add_epi32(shifted, _mm512_set1_epi32(1 - (1 << bits)));
            const __m512i stored = bits == 8 ? _mm512_sub_epi32(code, _mm512_set1_epi32(128)) : v;
            _mm_mask_storeu_epi8(coded[j].integer + i, live, _mm512_cvtepi32_epi8(stored));
            const __m512 wide = _mm512_maskz_cvtepi32_ps(live, v);
            _mm256_mask_storeu_epi16(coded[j].wide + i, live, _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(wide), 16)));
            weight_by_v[j][0] = _mm512_add_pd(weight_by_v[j][0], _mm512_mul_pd(low(w), low(wide)));
            weight_by_v[j][1] = _mm512_add_pd(weight_by_v[j][1], _mm512_mul_pd(high(w), high(wide)));
            v_by_v[j] = _mm512_add_epi32(v_by_v[j], _mm512_maskz_mullo_epi32(live, v, v));
        }
    }
    for (size_t j = 0; j < n_bits; j++) {
        const double above = add_in_order(weight_by_v[j][0], weight_by_v[j][1]);
        const __m512d below_low = _mm512_cvtepi32_pd(_mm512_castsi512_si256(v_by_v[j]));
        const __m512d below_high = _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(v_by_v[j], 1));
        const double scale = above / add_in_order(below_low, below_high), least = 0x1p-30;
        *coded[j].scale = static_cast<float>(scale < least ? least : scale);
    }
}

__m512 load(__mmask16 live, const float* from) noexcept { return _mm512_maskz_loadu_ps(live, from); }
__m512 load(__mmask16 live, const bf16* from) noexcept {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(live, from)), 16));
}

template <class T>
void divide(size_t n, const T* g, float scale, float* out) noexcept {
    const __m512 s = _mm512_set1_ps(scale);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 live = first_lanes(n - i);
        _mm512_mask_storeu_ps(out + i, live, _mm512_div_ps(load(live, g + i), s));
    }
}

}  // namespace

const WeightKernels weights_avx512 = {code_row, divide<float>, divide<bf16>};

}  // namespace qz::training

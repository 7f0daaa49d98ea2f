// Activation codes: float32 values to uint8 codes, codes back to floats for the gradients, and sums of codes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qz::training {

enum class bf16 : uint16_t {};  // the upper half of a float32

struct CodeKernels {
    // q[i] = clip(rint(x[i] * inverse + zero), 0, top), half to even; false where a value is not a number (its code is 0).
    //   x float32 [n], q uint8 [n]; top = 2^bits - 1
    bool (*quantize)(size_t n, const float* x, float inverse, float zero, float top, uint8_t* q) noexcept;

    // The same with r[i] = max(x[i], 0) beside it, NaN where x is.   r float32 [n]
    bool (*relu_quantize)(size_t n, const float* x, float inverse, float zero, float top, float* r, uint8_t* q) noexcept;

    // out[i] = q[i] - zero; exact in bfloat16 for |2 (q - zero)| <= 256
    void (*widen_bf16)(size_t n, const uint8_t* q, float zero, bf16* out) noexcept;
    void (*widen_f32)(size_t n, const uint8_t* q, float zero, float* out) noexcept;

    // out[r][g] = sum of the codes of group g in row r.   q uint8 [rows][channels], out int32 [rows][groups]
    void (*group_sums)(size_t rows, size_t channels, size_t groups, const uint8_t* q, int32_t* out) noexcept;
};

extern const CodeKernels codes_generic, codes_avx512;

}  // namespace qz::training

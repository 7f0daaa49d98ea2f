// The functions of one float32 number, as graph/functions.py defines them: the same operations in the same order, each rounded.
// NaN goes through every comparison as it does through numpy's minimum and maximum: the result is NaN.
// For the files of the set generic alone: `static`, so that no other set links this code.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "engine/arguments.hpp"

namespace qz::engine::generic {

static inline float clip(float x, float low, float high) noexcept {
    const float raised = x < low ? low : x;
    return raised > high ? high : raised;
}

// e^x for x clipped to [-87, 87]; the power of two is exact, as |n| <= 126.
static inline float exp(float x) noexcept {
    constexpr float LOG2_E = 1.44269504f, LN2_HIGH = 355.0f / 512.0f, LN2_LOW = -2.12194440e-4f;
    constexpr float FACTORIALS[] = {720, 120, 24, 6, 2, 1, 1};
    x = clip(x, -87.0f, 87.0f);
    const float n = std::rint(x * LOG2_E);
    const float r = (x - n * LN2_HIGH) - n * LN2_LOW;
    float total = 1.0f / 5040.0f;
    for (const float factorial : FACTORIALS) total = 1.0f / factorial + r * total;
    const int32_t exponent = n == n ? static_cast<int32_t>(n) : 0;
    return total * std::bit_cast<float>((exponent + 127) << 23);
}

static inline float gelu(float x) noexcept {
    constexpr float SQRT_HALF = 0.70710678f, SLOPE = 0.3275911f;
    constexpr float TAIL[] = {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
    const float scaled = std::fabs(x) * SQRT_HALF;
    const float z = scaled > 9.0f ? 9.0f : scaled;
    const float u = 1.0f / (1.0f + SLOPE * z);
    float total = 1.061405429f;
    for (const float coefficient : TAIL) total = coefficient + u * total;
    const float tail = (0.5f * (u * total)) * exp(-(z * z));
    return x * (x < 0 ? tail : 1.0f - tail);
}

static inline float gelu_tanh(float x) noexcept {
    constexpr float SLOPE = 1.5957691f, CUBIC = 0.044715f;
    const float y = clip(x, -16.0f, 16.0f);
    return x / (1.0f + exp(-(y * (SLOPE * (1.0f + CUBIC * (y * y))))));
}

// y[i] = function(y[i]); one loop a function, so that the simple ones become vector code.
static inline void apply(Function function, float low, float high, float* y, size_t n) noexcept {
    switch (function) {
        case Function::none: return;
        case Function::clip:
            for (size_t i = 0; i < n; ++i) y[i] = clip(y[i], low, high);
            return;
        case Function::relu:
            for (size_t i = 0; i < n; ++i) y[i] = y[i] < 0.0f ? 0.0f : y[i];
            return;
        case Function::hardsigmoid:
            for (size_t i = 0; i < n; ++i) y[i] = clip(y[i] + 3.0f, 0.0f, 6.0f) / 6.0f;
            return;
        case Function::hardswish:
            for (size_t i = 0; i < n; ++i) y[i] = y[i] * clip(y[i] + 3.0f, 0.0f, 6.0f) / 6.0f;
            return;
        case Function::sigmoid:
            for (size_t i = 0; i < n; ++i) y[i] = 1.0f / (1.0f + exp(-y[i]));
            return;
        case Function::silu:
            for (size_t i = 0; i < n; ++i) y[i] = y[i] / (1.0f + exp(-y[i]));
            return;
        case Function::gelu:
            for (size_t i = 0; i < n; ++i) y[i] = gelu(y[i]);
            return;
        case Function::gelu_tanh:
            for (size_t i = 0; i < n; ++i) y[i] = gelu_tanh(y[i]);
            return;
        case Function::tanh:
            for (size_t i = 0; i < n; ++i) y[i] = 1.0f - 2.0f / (1.0f + exp(y[i] + y[i]));
            return;
    }
}

}  // namespace qz::engine::generic

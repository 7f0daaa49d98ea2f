// What follows the sums of a layer: scale and offset, residual, function, codes; the plain form. For the set generic alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/arguments.hpp"
#include "kernels/generic/functions.hpp"

namespace qz::engine::generic {

// Codes of n values: clipping before rounding gives the same codes, as 0 and top are whole, and rids of NaN and infinities;
// adding 2^23 rounds half to even, for what is left lies from 0 to 255.
static inline void quantize(const Epilogue& epilogue, const float* y, uint8_t* codes, size_t n) noexcept {
    constexpr float ROUND = 8388608.0f;
    const float inverse = epilogue.inverse, zero = epilogue.zero, top = epilogue.top;
    for (size_t i = 0; i < n; ++i) {
        const float level = y[i] * inverse + zero;
        const float above = level > 0.0f ? level : 0.0f;
        const float inside = above < top ? above : top;
        codes[i] = static_cast<uint8_t>(static_cast<int32_t>((inside + ROUND) - ROUND));
    }
}

// Rows first to first + n of the result, from their sums [n][channels]; y: scratch for channels floats.
template <class Sum>
static inline void finish(const Epilogue& epilogue, const Frame& frame, const Sum* sums, size_t first, size_t n, float* y) noexcept {
    const size_t channels = epilogue.channels;
    const float* const multiplier = frame.read<float>(epilogue.multiplier);
    const float* const offsets = frame.read<float>(epilogue.offset);
    const int32_t* const class_of = frame.read<int32_t>(epilogue.class_of);
    const float* const residual = frame.read<float>(epilogue.residual);
    float* const values = frame.write<float>(epilogue.values);
    uint8_t* const codes = frame.write<uint8_t>(epilogue.codes);
    for (size_t row = first; row < first + n; ++row, sums += channels) {
        if (multiplier) {
            const float* const offset = offsets + (class_of ? static_cast<size_t>(class_of[row % epilogue.area]) * channels : 0);
            for (size_t c = 0; c < channels; ++c) y[c] = static_cast<float>(sums[c]) * multiplier[c] + offset[c];
        } else {
            for (size_t c = 0; c < channels; ++c) y[c] = static_cast<float>(sums[c]);
        }
        if (residual)
            for (size_t c = 0; c < channels; ++c) y[c] += residual[row * channels + c];
        apply(epilogue.function, epilogue.low, epilogue.high, y, channels);
        if (values) std::copy_n(y, channels, values + row * channels);
        if (codes) quantize(epilogue, y, codes + row * channels, channels);
    }
}

}  // namespace qz::engine::generic

// The plain convolution, for codes and for floats: out[y][x][o] = sum over taps and inputs of source * weight, then the epilogue.
//
//   weight  [groups][kernel_height][kernel_width][in / groups][out / groups]
//   sums    Sum [out_width][out_channels], one output row: int32 is exact (graph.check), double nearly so
#pragma once

#include <algorithm>
#include <cstddef>

#include "engine/kernel.hpp"
#include "kernels/generic/epilogue.hpp"

namespace qz::engine::generic {

// The sums of output row `out_y` of one image; taps outside the image are left out.
template <class Value, class Weight, class Sum>
static void sum_row(const Conv& conv, const Value* image, const Weight* weight, size_t out_y, Sum* sums) noexcept {
    const size_t inputs = conv.in_channels / conv.groups, outputs = conv.out_channels / conv.groups;
    std::fill_n(sums, conv.out_width * conv.out_channels, Sum{0});
    for (size_t group = 0; group < conv.groups; ++group)
        for (size_t ky = 0; ky < conv.kernel_height; ++ky)
            for (size_t kx = 0; kx < conv.kernel_width; ++kx) {
                const Weight* const tap = weight + ((group * conv.kernel_height + ky) * conv.kernel_width + kx) * inputs * outputs;
                const size_t y = out_y * conv.stride_height + ky * conv.dilation_height - conv.top;  // wraps far above height where negative
                if (y >= conv.height) continue;
                for (size_t out_x = 0; out_x < conv.out_width; ++out_x) {
                    const size_t x = out_x * conv.stride_width + kx * conv.dilation_width - conv.left;
                    if (x >= conv.width) continue;
                    const Value* const values = image + (y * conv.width + x) * conv.in_channels + group * inputs;
                    Sum* const sum = sums + out_x * conv.out_channels + group * outputs;
                    for (size_t i = 0; i < inputs; ++i)
                        for (size_t o = 0; o < outputs; ++o) sum[o] += static_cast<Sum>(values[i]) * static_cast<Sum>(tap[i * outputs + o]);
                }
            }
}

template <class Value, class Weight, class Sum>
static void run_conv(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    const Conv& conv = *std::get_if<Conv>(&arguments);
    const Value* const source = frame.read<Value>(conv.source);
    const Weight* const weight = frame.read<Weight>(conv.weight);
    Sum* const sums = reinterpret_cast<Sum*>(part.scratch);
    float* const y = reinterpret_cast<float*>(part.scratch + conv.out_width * conv.out_channels * 8);
    for (size_t row = part.first; row < part.last; ++row) {
        const Value* const image = source + row / conv.out_height * conv.height * conv.width * conv.in_channels;
        sum_row(conv, image, weight, row % conv.out_height, sums);
        finish(conv.epilogue, frame, sums, row * conv.out_width, conv.out_width, y);
    }
}

template <class Weight>
static size_t packed_bytes(const WeightShape& shape) noexcept {
    return shape.size() * sizeof(Weight);
}

template <class Weight>
static void pack(const WeightShape& shape, const void* weight, void* packed) noexcept {
    const Weight* const from = static_cast<const Weight*>(weight);
    Weight* to = static_cast<Weight*>(packed);
    for (size_t group = 0; group < shape.groups; ++group)
        for (size_t tap = 0; tap < shape.taps(); ++tap)
            for (size_t i = 0; i < shape.in_per_group; ++i)
                for (size_t o = 0; o < shape.out_per_group(); ++o)
                    *to++ = from[((group * shape.out_per_group() + o) * shape.in_per_group + i) * shape.taps() + tap];
}

}  // namespace qz::engine::generic

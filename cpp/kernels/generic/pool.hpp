// Windows over two axes, all channels of a position at once: the loops that max_pool and mean_pool share. For the set generic alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/kernel.hpp"

namespace qz::engine::generic {

struct Window {
    int32_t first, last, step, divisor;
};

// out = the first position's values; join(out, values, channels) for each other one, row by row; end(out, channels, divisor).
template <class Join, class End>
static void pool(const Arguments& arguments, const Frame& frame, Part part, Join join, End end) noexcept {
    const Pool& pool = *std::get_if<Pool>(&arguments);
    const float* const source = frame.read<float>(pool.source);
    const Window *const rows = frame.read<Window>(pool.row_windows), *const columns = frame.read<Window>(pool.column_windows);
    float* out = frame.write<float>(pool.target) + part.first * pool.out_width * pool.channels;
    for (size_t row = part.first; row < part.last; ++row) {
        const float* const image = source + row / pool.out_height * pool.height * pool.width * pool.channels;
        const Window& down = rows[row % pool.out_height];
        for (size_t out_x = 0; out_x < pool.out_width; ++out_x, out += pool.channels) {
            const Window& across = columns[out_x];
            bool is_first = true;
            for (int32_t y = down.first; y < down.last; y += down.step)
                for (int32_t x = across.first; x < across.last; x += across.step) {
                    const float* const values = image + (static_cast<size_t>(y) * pool.width + static_cast<size_t>(x)) * pool.channels;
                    is_first ? void(std::copy_n(values, pool.channels, out)) : join(out, values, pool.channels);
                    is_first = false;
                }
            end(out, pool.channels, static_cast<float>(static_cast<int64_t>(down.divisor) * across.divisor));
        }
    }
}

}  // namespace qz::engine::generic

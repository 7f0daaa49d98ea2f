// A nest of loops over up to MAX_LOOPS axes, entered in the middle: where each operand stands, run by run of the last loop.
#pragma once

#include <cstddef>
#include <vector>

namespace qz::engine::generic {

inline constexpr size_t MAX_LOOPS = 8;

// Offsets, in elements, of `Operands` tensors at the start of a run of the last loop.
template <size_t Operands>
struct Nest {
    const std::vector<ptrdiff_t>& sizes;
    const std::vector<ptrdiff_t>* strides[Operands];
    ptrdiff_t index[MAX_LOOPS] = {};
    ptrdiff_t at[Operands] = {};

    // Goes to the run with this number, the last loop left out of the count.
    void enter(size_t run) noexcept {
        for (size_t axis = sizes.size() - 1; axis-- > 0;) {
            index[axis] = static_cast<ptrdiff_t>(run % static_cast<size_t>(sizes[axis]));
            run /= static_cast<size_t>(sizes[axis]);
            for (size_t k = 0; k < Operands; ++k) at[k] += index[axis] * (*strides[k])[axis];
        }
    }

    void next() noexcept {
        for (size_t axis = sizes.size() - 1; axis-- > 0;) {
            for (size_t k = 0; k < Operands; ++k) at[k] += (*strides[k])[axis];
            if (++index[axis] < sizes[axis]) return;
            for (size_t k = 0; k < Operands; ++k) at[k] -= index[axis] * (*strides[k])[axis];
            index[axis] = 0;
        }
    }
};

}  // namespace qz::engine::generic

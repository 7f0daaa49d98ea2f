// The window of the codes of y = A m + t, moved to the sums A.
#pragma once

#include <cstddef>
#include <vector>

#include "training/gradients.hpp"

namespace qz::training {

// y = A m + t
struct Epilogue {
    const float* multiplier;  // m [channels]
    const float* offset;      // t [classes][channels]
};

// A box opens for exactly those float32 A whose u, computed as the forward pass computes it, lies in it: a step estimated from a
// batch puts the largest value on the very edge.
class WindowOfSums {
public:
    WindowOfSums(size_t channels, Epilogue epilogue, Borders borders, const Window& window);

    SumWindow view() const noexcept { return {is_triangle_, from_.data(), to_.data()}; }

    std::vector<double> factor;  // [channels]: what SumWindow leaves out

private:
    bool is_triangle_;
    std::vector<float> from_, to_;
};

}  // namespace qz::training

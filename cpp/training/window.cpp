#include "training/window.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <utility>

namespace qz::training {
namespace {

// Floats in their order as integers in theirs, without gaps: from -infinity to +infinity, both zeros are 0.
int64_t place(float x) noexcept {
    const auto bits = std::bit_cast<int32_t>(x);
    return bits < 0 ? int64_t{INT32_MIN} - bits : bits;
}
float at_place(int64_t k) noexcept { return std::bit_cast<float>(static_cast<int32_t>(k < 0 ? int64_t{INT32_MIN} - k : k)); }

// The place of the smallest finite x where `holds`, which then holds above it; that of +infinity where there is none.
template <class Holds>
int64_t first_place(const Holds& holds) noexcept {
    int64_t low = place(-INFINITY) + 1, high = place(INFINITY);
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (holds(at_place(middle)))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// The A for which low <= u <= high. Rounded products and sums keep the order, so u rises or falls with A all the way.
std::pair<float, float> box(float m, float t, const Window& window) noexcept {
    const auto u = [&](float a) { return (a * m + t) * window.inverse + window.zero; };
    if (m == 0) return u(0) >= window.low && u(0) <= window.high ? std::pair{-INFINITY, INFINITY} : std::pair{INFINITY, -INFINITY};
    const bool rises = m > 0;
    const int64_t from = first_place([&](float a) { return rises ? u(a) >= window.low : u(a) <= window.high; });
    const int64_t above = first_place([&](float a) { return rises ? u(a) > window.high : u(a) < window.low; });
    return {at_place(from), at_place(above - 1)};
}

size_t classes_of(Borders borders) noexcept {
    if (!borders.class_of) return 1;
    return static_cast<size_t>(*std::max_element(borders.class_of, borders.class_of + borders.area)) + 1;
}

}  // namespace

WindowOfSums::WindowOfSums(size_t channels, Epilogue epilogue, Borders borders, const Window& window)
    : factor(channels), is_triangle_(window.peak), from_(classes_of(borders) * channels), to_(from_.size()) {
    for (size_t c = 0; c < channels; c++)
        factor[c] = (is_triangle_ ? static_cast<double>(window.peak[c]) : 1.0) * static_cast<double>(window.inverse);
    for (size_t i = 0; i < from_.size(); i++) {
        const size_t c = i % channels;
        const double m = epilogue.multiplier[c], t = epilogue.offset[i], inverse = window.inverse, zero = window.zero;
        if (is_triangle_) {
            from_[i] = static_cast<float>(m * inverse * window.peak[c]);
            to_[i] = static_cast<float>((t * inverse + zero - 0.5) * window.peak[c]);
        } else {
            std::tie(from_[i], to_[i]) = box(epilogue.multiplier[c], epilogue.offset[i], window);
        }
    }
}

}  // namespace qz::training

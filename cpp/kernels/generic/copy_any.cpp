// Values moved: other orders of axes, slices, and parts of a concatenated or padded tensor.
#include <cstring>

#include "engine/kernel.hpp"
#include "kernels/generic/nest.hpp"

namespace qz::engine {
namespace {

template <class T>
void move_runs(const Copy& copy, const Frame& frame, Part part) noexcept {
    const T* const source = frame.read<T>(copy.source);
    T* const target = frame.write<T>(copy.target);
    const ptrdiff_t n = copy.sizes.back(), ds = copy.source_strides.back(), dt = copy.target_strides.back();
    generic::Nest<2> nest{copy.sizes, {&copy.source_strides, &copy.target_strides}};
    if (part.first < part.last) nest.enter(part.first);
    for (size_t run = part.first; run < part.last; ++run, nest.next()) {
        const T* const from = source + nest.at[0];
        T* const to = target + nest.at[1];
        if (ds == 1 && dt == 1)
            std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
        else
            for (ptrdiff_t i = 0; i < n; ++i) to[i * dt] = from[i * ds];
    }
}

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    const Copy& copy = *std::get_if<Copy>(&arguments);
    copy.element_bytes == 1 ? move_runs<uint8_t>(copy, frame, part) : move_runs<float>(copy, frame, part);
}

}  // namespace

extern const Kernel copy_any_generic;
constinit const Kernel copy_any_generic{.run = run};

}  // namespace qz::engine

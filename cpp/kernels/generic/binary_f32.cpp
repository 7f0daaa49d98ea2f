// Sums, products and quotients of two tensors whose shapes broadcast.
#include "engine/kernel.hpp"
#include "kernels/generic/nest.hpp"

namespace qz::engine {
namespace {

template <class F>
void run_with(const Binary& binary, const Frame& frame, Part part, F f) noexcept {
    const float *const left = frame.read<float>(binary.left), *const right = frame.read<float>(binary.right);
    float* const target = frame.write<float>(binary.target);
    const ptrdiff_t n = binary.sizes.back(), dl = binary.left_strides.back(), dr = binary.right_strides.back(), dt = binary.target_strides.back();
    generic::Nest<3> nest{binary.sizes, {&binary.left_strides, &binary.right_strides, &binary.target_strides}};
    if (part.first < part.last) nest.enter(part.first);
    for (size_t run = part.first; run < part.last; ++run, nest.next())
        for (ptrdiff_t i = 0; i < n; ++i) target[nest.at[2] + i * dt] = f(left[nest.at[0] + i * dl], right[nest.at[1] + i * dr]);
}

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    const Binary& binary = *std::get_if<Binary>(&arguments);
    switch (binary.op) {
        case Operator::add: return run_with(binary, frame, part, [](float a, float b) { return a + b; });
        case Operator::mul: return run_with(binary, frame, part, [](float a, float b) { return a * b; });
        case Operator::div: return run_with(binary, frame, part, [](float a, float b) { return a / b; });
    }
}

}  // namespace

extern const Kernel binary_f32_generic;
constinit const Kernel binary_f32_generic{.run = run};

}  // namespace qz::engine
